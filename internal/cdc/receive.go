package cdc

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"walpurge/internal/cdc/primary"
	"walpurge/internal/coherence"
)

// receive reads the stream until it ends or ctx does. It alone reads from and
// writes to the replication connection.
func (s *session) receive(ctx context.Context) error {
	defer context.AfterFunc(ctx, func() {
		s.over.Store(true)
		s.interrupt()
	})()
	if err := s.status(true); err != nil {
		return err
	}
	for {
		// A context would cost a function to be called at its end for every message;
		// the deadline is set once a status.
		msg, err := s.replication.ReceiveMessage(context.Background())
		if err != nil {
			var timeout net.Error
			if !errors.As(err, &timeout) || !timeout.Timeout() {
				return fmt.Errorf("receive: %w", err)
			}
			if ctx.Err() != nil {
				_ = s.status(false) // spares the next session what is known already
				return ctx.Err()
			}
			s.renew()
			if err := s.status(s.asked.Swap(false)); err != nil {
				return err
			}
			continue
		}
		switch m := msg.(type) {
		case *pgproto3.CopyData:
			err = s.frame(m.Data)
		case *pgproto3.ErrorResponse:
			err = s.failed(pgconn.ErrorResponseToPgError(m))
		case *pgproto3.NoticeResponse, *pgproto3.ParameterStatus, *pgproto3.NotificationResponse:
		case *pgproto3.CopyDone:
			err = errors.New("receive: the server ended the stream")
		default:
			err = fmt.Errorf("receive: unexpected %T", msg)
		}
		if err != nil {
			return err
		}
	}
}

// frame handles one frame of the stream.
func (s *session) frame(data []byte) error {
	switch {
	case len(data) >= primary.XLogHeader && data[0] == 'w':
		return s.data(data[primary.XLogHeader:])
	case len(data) == primary.KeepaliveSize && data[0] == 'k':
		if !s.decoder.Inside() {
			// In the middle of a transaction, or of a piece of one, the position says
			// nothing: a commit before it may still be on its way.
			s.reached(coherence.LSN(binary.BigEndian.Uint64(data[1:])))
		}
		if data[primary.KeepaliveSize-1] != 0 {
			return s.status(false)
		}
		return nil
	}
	return &doubt{"decode", fmt.Errorf("a frame of %d bytes is neither data nor a keepalive", len(data))}
}

// switchAlign divides the size of every WAL segment: 1 MiB is the smallest.
const switchAlign = 1 << 20

// reached notes that everything up to at has been sent. At the end of a
// segment it may have been sent before it is flushed: a WAL switch fills the
// segment with zeros, which the walsender skips at once and the server is still
// writing. Then it counts once the server says how far it is: a position that
// the log has not reached looks like a server that was set back.
// https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-ADMIN-BACKUP (pg_switch_wal)
func (s *session) reached(at coherence.LSN) {
	s.progress.stream(at)
	if at%switchAlign == 0 {
		s.filled.Store(uint64(at))
		return
	}
	s.progress.Advance(at)
}

// data decodes one message and applies the transaction that it completes.
func (s *session) data(msg []byte) error {
	committed, err := s.decoder.Decode(msg)
	if err != nil {
		return &doubt{"decode", err}
	}
	s.open.Store(int32(s.decoder.Open()))
	s.pace.Bulk(s.decoder.Streaming())
	if s.decoder.Suspects() {
		s.suspect()
	}
	if committed {
		tx := s.decoder.Transaction()
		s.progress.Deliver(tx)
		s.progress.stream(tx.End)
	}
	s.renew()
	return nil
}

// status tells the server how far we are, and asks for an answer with reply.
func (s *session) status(reply bool) error {
	now := time.Now()
	if at := pglogrepl.LSN(s.progress.acknowledge()); at != 0 {
		conn := s.replication.Conn()
		if err := conn.SetWriteDeadline(now.Add(primary.QueryTimeout)); err != nil {
			return fmt.Errorf("send status: %w", err)
		}
		// R5: all three positions, as pglogrepl fills a missing one from the others.
		err := pglogrepl.SendStandbyStatusUpdate(context.Background(), s.replication, pglogrepl.StandbyStatusUpdate{
			WALWritePosition: at, WALFlushPosition: at, WALApplyPosition: at, ClientTime: now, ReplyRequested: reply,
		})
		if err != nil {
			return fmt.Errorf("send status: %w", err)
		}
	}
	s.due = now.Add(s.interval)
	if err := s.replication.Conn().SetReadDeadline(s.due); err != nil {
		return fmt.Errorf("receive: %w", err)
	}
	if s.asked.Load() || s.over.Load() {
		// Whoever interrupted did so before the deadline was set, and was
		// overwritten. A server that shuts down wants a status after each status:
		// no read would ever wait for its deadline again.
		return s.replication.Conn().SetReadDeadline(primary.LongAgo)
	}
	return nil
}

// ask makes receive send a status that the server answers with a keepalive.
func (s *session) ask() {
	s.asked.Store(true)
	s.interrupt()
}

// interrupt ends a read that waits.
func (s *session) interrupt() { _ = s.replication.Conn().SetReadDeadline(primary.LongAgo) }

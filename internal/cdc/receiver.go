package cdc

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"walpurge/internal/cdc/catalogue"
	"walpurge/internal/cdc/pgoutput"
	"walpurge/internal/cdc/primary"
	"walpurge/internal/coherence"
)

// receiver reads the stream and applies what has committed. It alone reads
// from and writes to the replication connection.
type receiver struct {
	*shared
	progress    *progress
	replication *pgconn.PgConn
	pace        *primary.Pace
	decoder     *pgoutput.Decoder
	suspect     func()        // is told that the catalogue may have changed
	due         time.Time     // when the next status is sent at the latest
	interval    time.Duration // between two of them

	// Of all goroutines.
	current atomic.Pointer[catalogue.Catalogue] // what decoding goes by
	renewal atomic.Pointer[renewal]             // what it is to go by
	asked   atomic.Bool                         // somebody wants an answer from the server
	over    atomic.Bool                         // the session ends
	filled  atomic.Uint64                       // LSN of a segment's end that has been sent, and may not be flushed yet
}

// receive reads the stream until it ends or ctx does.
func (r *receiver) receive(ctx context.Context) error {
	defer context.AfterFunc(ctx, func() {
		r.over.Store(true)
		r.interrupt()
	})()
	if err := r.status(true); err != nil {
		return err
	}
	for {
		// A context would cost a function to be called at its end for every message;
		// the deadline is set once a status.
		msg, err := r.replication.ReceiveMessage(context.Background())
		if err != nil {
			var timeout net.Error
			if !errors.As(err, &timeout) || !timeout.Timeout() {
				return fmt.Errorf("receive: %w", err)
			}
			if ctx.Err() != nil {
				_ = r.status(false) // spares the next session what is known already
				return ctx.Err()
			}
			r.renew()
			if err := r.status(r.asked.Swap(false)); err != nil {
				return err
			}
			continue
		}
		switch m := msg.(type) {
		case *pgproto3.CopyData:
			err = r.frame(m.Data)
		case *pgproto3.ErrorResponse:
			err = r.failed(pgconn.ErrorResponseToPgError(m))
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
func (r *receiver) frame(data []byte) error {
	switch {
	case len(data) >= primary.XLogHeader && data[0] == 'w':
		return r.data(data[primary.XLogHeader:])
	case len(data) == primary.KeepaliveSize && data[0] == 'k':
		if !r.decoder.Inside() {
			// In the middle of a transaction, or of a piece of one, the position says
			// nothing: a commit before it may still be on its way.
			r.reached(coherence.LSN(binary.BigEndian.Uint64(data[1:])))
		}
		if data[primary.KeepaliveSize-1] != 0 {
			return r.status(false)
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
func (r *receiver) reached(at coherence.LSN) {
	r.progress.stream(at)
	if at%switchAlign == 0 {
		r.filled.Store(uint64(at))
		return
	}
	r.progress.Advance(at)
}

// data decodes one message and applies the transaction that it completes.
func (r *receiver) data(msg []byte) error {
	committed, err := r.decoder.Decode(msg)
	if err != nil {
		return &doubt{"decode", err}
	}
	r.open.Store(int32(r.decoder.Open()))
	r.pace.Bulk(r.decoder.Streaming())
	if r.decoder.Suspects() {
		r.suspect()
	}
	if committed {
		tx := r.decoder.Transaction()
		r.progress.Deliver(tx)
		r.progress.stream(tx.End)
	}
	r.renew()
	return nil
}

// status tells the server how far we are, and asks for an answer with reply.
func (r *receiver) status(reply bool) error {
	now := time.Now()
	if at := pglogrepl.LSN(r.progress.acknowledge()); at != 0 {
		conn := r.replication.Conn()
		if err := conn.SetWriteDeadline(now.Add(primary.QueryTimeout)); err != nil {
			return fmt.Errorf("send status: %w", err)
		}
		// R5: all three positions, as pglogrepl fills a missing one from the others.
		err := pglogrepl.SendStandbyStatusUpdate(context.Background(), r.replication, pglogrepl.StandbyStatusUpdate{
			WALWritePosition: at, WALFlushPosition: at, WALApplyPosition: at, ClientTime: now, ReplyRequested: reply,
		})
		if err != nil {
			return fmt.Errorf("send status: %w", err)
		}
	}
	r.due = now.Add(r.interval)
	if err := r.replication.Conn().SetReadDeadline(r.due); err != nil {
		return fmt.Errorf("receive: %w", err)
	}
	if r.asked.Load() || r.over.Load() {
		// Whoever interrupted did so before the deadline was set, and was
		// overwritten. A server that shuts down wants a status after each status:
		// no read would ever wait for its deadline again.
		return r.replication.Conn().SetReadDeadline(primary.LongAgo)
	}
	return nil
}

// ask makes receive send a status that the server answers with a keepalive.
func (r *receiver) ask() {
	r.asked.Store(true)
	r.interrupt()
}

// interrupt ends a read that waits.
func (r *receiver) interrupt() { _ = r.replication.Conn().SetReadDeadline(primary.LongAgo) }

// renewal is a catalogue that decoding is to go by.
type renewal struct {
	catalogue *catalogue.Catalogue
	done      chan struct{} // closed when it does
}

// renewWith has the receiver go by another catalogue, and returns when it does.
func (r *receiver) renewWith(ctx context.Context, c *catalogue.Catalogue) error {
	wish := &renewal{catalogue: c, done: make(chan struct{})}
	r.renewal.Store(wish)
	r.ask()
	select {
	case <-wish.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// renew does what renewWith asks for, unless a transaction is being received.
func (r *receiver) renew() {
	if r.renewal.Load() == nil || r.decoder.Inside() {
		return
	}
	wish := r.renewal.Swap(nil)
	r.decoder.Renew(wish.catalogue.Schema())
	r.current.Store(wish.catalogue)
	close(wish.done)
}

package readahead

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"walpurge/internal/cdc/pgoutput"
	"walpurge/internal/cdc/primary"
	"walpurge/internal/coherence"
)

// physical is a connection that receives the log as it lies on disk. It has
// no slot and keeps the server from nothing.
type physical struct {
	conn     *pgconn.PgConn
	interval time.Duration // between two statuses
	due      time.Time     // when the next is
	written  coherence.LSN
	stop     func() bool
}

// openLog asks for the log from start on, of the timeline that the session is
// about. The connection is of the kind that the stream's is, so it needs the
// same rights and the same line in pg_hba.conf.
func (a *Reader) openLog(ctx context.Context, start coherence.LSN) (*physical, error) {
	conn, _, err := a.Primary.ConnectReplication(ctx)
	if err != nil {
		return nil, err
	}
	p := &physical{conn: conn, interval: a.Interval, stop: func() bool { return true }}
	if err := p.start(ctx, a.Server, start); err != nil {
		p.close(ctx)
		return nil, err
	}
	p.stop = context.AfterFunc(ctx, func() { _ = conn.Conn().SetReadDeadline(primary.LongAgo) })
	return p, nil
}

func (p *physical) start(ctx context.Context, expect primary.Server, start coherence.LSN) error {
	ctx, cancel := context.WithTimeout(ctx, primary.QueryTimeout)
	defer cancel()
	found, _, err := primary.IdentifySender(ctx, p.conn)
	if err == nil {
		err = expect.Expect(found)
	}
	if err != nil {
		return err
	}
	p.conn.Frontend().SendQuery(&pgproto3.Query{String: fmt.Sprintf("START_REPLICATION PHYSICAL %s TIMELINE %d", start, expect.Timeline)})
	if err := p.conn.Frontend().Flush(); err != nil {
		return fmt.Errorf("start physical replication: %w", err)
	}
	for {
		msg, err := p.conn.ReceiveMessage(ctx)
		if err != nil {
			return fmt.Errorf("start physical replication: %w", err)
		}
		switch m := msg.(type) {
		case *pgproto3.CopyBothResponse:
			return nil
		case *pgproto3.ErrorResponse:
			return fmt.Errorf("start physical replication: %w", pgconn.ErrorResponseToPgError(m))
		case *pgproto3.NoticeResponse, *pgproto3.ParameterStatus:
		default:
			return fmt.Errorf("start physical replication: unexpected %T", msg)
		}
	}
}

// piece is a piece of the log; start is 0 if there was none in time.
type piece struct {
	start coherence.LSN
	bytes []byte // valid until the next is received
}

// receive returns the next piece of the log, or none after a while.
func (p *physical) receive(ctx context.Context) (piece, error) {
	if now := time.Now(); !now.Before(p.due) {
		if err := p.status(now); err != nil {
			return piece{}, err
		}
	}
	deadline := time.Now().Add(p.interval / 10)
	if err := p.conn.Conn().SetReadDeadline(deadline); err != nil {
		return piece{}, fmt.Errorf("receive the log: %w", err)
	}
	if ctx.Err() != nil {
		return piece{}, ctx.Err()
	}
	msg, err := p.conn.ReceiveMessage(context.Background())
	if err != nil {
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			return piece{}, ctx.Err()
		}
		return piece{}, fmt.Errorf("receive the log: %w", err)
	}
	switch m := msg.(type) {
	case *pgproto3.CopyData:
		return p.frame(m.Data)
	case *pgproto3.ErrorResponse:
		return piece{}, fmt.Errorf("receive the log: %w", pgconn.ErrorResponseToPgError(m))
	case *pgproto3.NoticeResponse, *pgproto3.ParameterStatus, *pgproto3.NotificationResponse:
		return piece{}, nil
	case *pgproto3.CopyDone:
		return piece{}, errors.New("receive the log: the server ended it")
	}
	return piece{}, fmt.Errorf("receive the log: unexpected %T", msg)
}

func (p *physical) frame(data []byte) (piece, error) {
	switch {
	case len(data) > primary.XLogHeader && data[0] == 'w':
		return piece{coherence.LSN(binary.BigEndian.Uint64(data[1:])), data[primary.XLogHeader:]}, nil
	case len(data) == primary.KeepaliveSize && data[0] == 'k':
		if data[primary.KeepaliveSize-1] != 0 {
			return piece{}, p.status(time.Now())
		}
		return piece{}, nil
	}
	return piece{}, fmt.Errorf("receive the log: a frame of %d bytes is neither data nor a keepalive", len(data))
}

// status tells the server that we are there. It says nothing of what has been
// flushed or applied: whoever does may become a standby that commits wait for.
// https://www.postgresql.org/docs/current/protocol-replication.html#PROTOCOL-REPLICATION-STANDBY-STATUS-UPDATE
func (p *physical) status(now time.Time) error {
	var b [1 + 4*8 + 1]byte
	b[0] = 'r'
	binary.BigEndian.PutUint64(b[1:], uint64(p.written))
	binary.BigEndian.PutUint64(b[25:], uint64(now.UnixMicro()-pgoutput.PostgresEpoch))
	if err := p.conn.Conn().SetWriteDeadline(now.Add(primary.QueryTimeout)); err != nil {
		return fmt.Errorf("send status: %w", err)
	}
	frame, err := (&pgproto3.CopyData{Data: b[:]}).Encode(nil)
	if err == nil {
		err = p.conn.Frontend().SendUnbufferedEncodedCopyData(frame)
	}
	if err != nil {
		return fmt.Errorf("send status: %w", err)
	}
	p.due = now.Add(p.interval)
	return nil
}

func (p *physical) close(ctx context.Context) {
	p.stop()
	primary.CloseReplication(ctx, p.conn)
}

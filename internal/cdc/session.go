package cdc

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/sync/errgroup"

	"walpurge/internal/cdc/catalogue"
	"walpurge/internal/cdc/pgoutput"
	"walpurge/internal/cdc/primary"
	"walpurge/internal/cdc/proof"
	"walpurge/internal/cdc/readahead"
	"walpurge/internal/coherence"
)

// session is one replication connection from its start to its end, with the
// connections beside it.
type session struct {
	l           *Listener
	server      primary.Server
	catalogue   *catalogue.Catalogue // as the session found it; what has become of it is decoding's and [session.current]'s
	current     atomic.Pointer[catalogue.Catalogue]
	sight       sight
	slot        string
	replication *pgconn.PgConn
	pace        *primary.Pace
	decoder     *pgoutput.Decoder
	visibility  visibility
	progress    progress
	from        coherence.LSN // where the stream starts
	ahead       *readahead.Reader
	suspicion   chan struct{}           // wakes the watcher
	renewal     atomic.Pointer[renewal] // for the receiver
	asked       atomic.Bool             // somebody wants an answer from the server
	over        atomic.Bool             // the session ends
	filled      atomic.Uint64           // LSN of a segment's end that has been sent, and may not be flushed yet
	due         time.Time               // when the next status is sent at the latest
	interval    time.Duration           // between two of them
}

// session runs one session. It always returns an error: why it ended.
func (l *Listener) session(ctx context.Context) error {
	l.setState("connecting", nil)
	control, err := l.cfg.Primary().Connect(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = control.Close(context.WithoutCancel(ctx)) }()
	replication, pace, err := l.cfg.Primary().ConnectReplication(ctx)
	if err != nil {
		return err
	}
	defer primary.CloseReplication(ctx, replication)

	s := &session{l: l, replication: replication, pace: pace, suspicion: make(chan struct{}, 1)}
	s.visibility.wake = make(chan struct{}, 1)
	s.progress.l, s.progress.pending = l, &s.visibility
	defer l.endTerm()
	if err := s.prepare(ctx, control); err != nil {
		return err
	}
	l.noteSession(s)
	defer func() { l.history.fingerprint = s.sight.accepted().String() }()
	defer l.open.Store(0)
	l.flush.Open()
	defer l.flush.Shut(proof.ErrNotFollowing)

	group, gctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.receive(gctx) })
	group.Go(func() error { return s.watchVisibility(gctx) })
	group.Go(func() error { return s.prove(gctx) })
	group.Go(func() error { return s.watch(gctx) })
	if l.cfg.ReadAhead != 0 {
		group.Go(func() error { return s.ahead.Run(gctx) })
	}
	if l.writer == nil {
		return group.Wait()
	}
	group.Go(func() error { return broken(l.writer.Run(gctx)) })
	group.Go(func() error { return s.lookWhenAsked(gctx) })
	err = group.Wait()
	l.leave(ctx, err)
	return err
}

// prepare does all that doc.go lists, up to the start of the stream.
func (s *session) prepare(ctx context.Context, control *pgx.Conn) error {
	l := s.l
	found := s.arrive(ctx)
	var err error
	if found.position, err = s.identify(ctx, control); err != nil {
		return err
	}
	if found.setBack, err = s.hearLeader(ctx, found); err != nil {
		return err
	}
	if found.slot, found.provided, err = s.provide(ctx, control); err != nil {
		return err
	}
	p := s.plan(ctx, found)
	if p.waits() {
		if err := l.passHorizon(ctx, control); err != nil {
			return err
		}
	}
	at := s.startAt(p)
	s.from = at
	s.progress.stream(at)
	if err := s.start(ctx, at); err != nil {
		return err
	}
	if err := s.confirm(ctx, control, at); err != nil {
		return err
	}
	s.current.Store(s.catalogue)
	s.decoder = pgoutput.NewDecoder(s.catalogue.Schema(), l.guard.Tables(), l.cfg.BulkRows)
	s.interval = s.catalogue.StatusInterval
	s.ahead = s.reader()
	return s.begin(ctx, p, at)
}

// provide checks the catalogue and finds or makes publication and slot.
func (s *session) provide(ctx context.Context, control *pgx.Conn) (at coherence.LSN, reason string, err error) {
	l := s.l
	old, err := s.askOldest(ctx, control)
	if err != nil {
		return 0, "", err
	}
	l.ahead.Baseline.Begin(old)
	found, err := l.cfg.Provide(ctx, control, &catalogue.Wants{
		Server: s.server, Replication: s.replication, Tables: l.guard.Tables(), Everything: l.guard.Epoch() == 0, Stuck: l.history.stuck, Waits: l.waitsForSlot,
	})
	if err != nil {
		return 0, "", err
	}
	s.catalogue, s.slot, l.history.stuck = found.Catalogue, found.Slot, nil
	return found.At, found.Reason, nil
}

// askOldest asks for the transactions that have ended, unless nobody will
// need it.
func (s *session) askOldest(ctx context.Context, q primary.Querier) (readahead.Oldest, error) {
	if s.l.cfg.ReadAhead == 0 || s.server.Recovery {
		return readahead.Oldest{}, nil
	}
	return readahead.AskOldest(ctx, q)
}

// reader makes what reads the log ahead of the stream.
func (s *session) reader() *readahead.Reader {
	l := s.l
	return readahead.NewReader(readahead.Session{
		Primary: l.cfg.Primary(), Beside: func() *primary.Conn { return l.beside(s.server) }, Server: s.server, Slot: s.slot, From: s.from,
		After: l.cfg.ReadAhead, Interval: s.interval, Tables: l.guard.Tables(), BulkRows: l.cfg.BulkRows, Catalogue: s.current.Load,
		Chance: l.cfg.Chance, Log: l.log, Trouble: func(err error) { l.trouble("read ahead", err) },
	}, &s.progress, &l.ahead)
}

// waitsForSlot returns what notes whom the server waits for before it makes
// the slot.
func (l *Listener) waitsForSlot() func(primary.Waited) {
	see := l.waits("the server makes the slot once the transactions that are open now have ended")
	return func(w primary.Waited) {
		if w != nil {
			l.setState("waiting for open transactions", nil)
		}
		see(w)
	}
}

// identify makes sure that both connections reach one and the same primary,
// and returns its flush position.
func (s *session) identify(ctx context.Context, control *pgx.Conn) (coherence.LSN, error) {
	found, err := primary.Identify(ctx, control)
	if err != nil {
		return 0, err
	}
	same, position, err := primary.IdentifySender(ctx, s.replication)
	if err != nil {
		return 0, err
	}
	if found.Recovery {
		same.Recovery, same.Timeline = true, found.Timeline // a standby is refused, and told why, later
	}
	if err := found.Expect(same); err != nil {
		return 0, err
	}
	s.server = found
	return position, nil
}

// pieceSize is how much of open transactions the server gathers, in KiB, before
// it streams a piece of the largest. What is left of one at its commit is
// about as much, and holds up all that comes after it in the log.
const pieceSize = 1 << 10

// transactionTimeoutVersion is PostgreSQL 17.
const transactionTimeoutVersion = 170000

// settings are what the walsender is told once it is known which server it
// belongs to.
func (s *session) settings() (statements []string) {
	if s.catalogue.DecodingRoom > pieceSize {
		statements = append(statements, fmt.Sprintf("SET logical_decoding_work_mem = %d", pieceSize))
	}
	if s.catalogue.Version >= transactionTimeoutVersion {
		// The walsender is inside a transaction while it sends one of ours. On a slow network it would
		// be ended each time at the same place.
		statements = append(statements, "SET transaction_timeout = 0")
	}
	return statements
}

// start starts the stream.
func (s *session) start(ctx context.Context, at coherence.LSN) error {
	for _, set := range s.settings() {
		if _, err := s.replication.Exec(ctx, set).ReadAll(); err != nil {
			return fmt.Errorf("%s: %w", set, err)
		}
	}
	names := "publication_names " + catalogue.QuoteText(catalogue.QuoteAlways(s.l.cfg.Publication))
	err := pglogrepl.StartReplication(ctx, s.replication, s.slot, pglogrepl.LSN(at), pglogrepl.StartReplicationOptions{
		Mode: pglogrepl.LogicalReplication, PluginArgs: []string{"proto_version '2'", "streaming 'on'", "messages 'true'", names},
	})
	var answer *pgconn.PgError
	if errors.As(err, &answer) && answer.Code == "55006" { // object_in_use
		return fmt.Errorf("%w: %w", catalogue.ErrSlotInUse, err)
	}
	if err != nil {
		return fmt.Errorf("start replication: %w", err)
	}
	return nil
}

// confirm makes sure that the stream starts where it was asked to, and that
// the server doesn't wait for us.
func (s *session) confirm(ctx context.Context, control *pgx.Conn, at coherence.LSN) error {
	now, err := catalogue.FindSlot(ctx, control, s.slot)
	switch {
	case err != nil:
		return fmt.Errorf("read slot %s: %w", s.slot, err)
	case now == nil:
		return fmt.Errorf("slot %s has gone", s.slot)
	case now.Confirmed > at:
		return fmt.Errorf("slot %s has moved from %s to %s while it was taken: somebody else reads it", s.slot, at, now.Confirmed)
	}
	return catalogue.CheckAsynchronous(ctx, control, now.PID)
}

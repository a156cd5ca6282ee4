package cdc

import (
	"context"
	"errors"
	"fmt"

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
	"walpurge/internal/relay"
)

// session is one replication connection from its start to its end, with the
// connections beside it.
type session struct {
	*shared
	follower   *follower     // nil without a relay
	writer     *relay.Writer // nil without one, and until this process leads
	server     primary.Server
	catalogue  *catalogue.Catalogue // as the session found it; what has become of it is decoding's and [receiver.current]'s
	sight      sight
	slot       string
	visibility visibility
	progress   progress
	receiver   receiver
	from       coherence.LSN // where the stream starts
	ahead      *readahead.Reader
	suspicion  chan struct{} // wakes the watcher
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

	s := &session{shared: l.shared, follower: l.follower, suspicion: make(chan struct{}, 1)}
	s.visibility.wake = make(chan struct{}, 1)
	s.progress.shared, s.progress.pending = s.shared, &s.visibility
	r := &s.receiver
	r.shared, r.progress, r.suspect, r.replication, r.pace = s.shared, &s.progress, s.suspect, replication, pace
	defer s.follower.endTerm()
	o := &opening{session: s, control: control, history: &l.history}
	if err := o.prepare(ctx); err != nil {
		return err
	}
	s.noteSession(s)
	defer func() { l.history.fingerprint = s.sight.accepted().String() }()
	return s.run(ctx)
}

// run follows the stream that an opening has started.
func (s *session) run(ctx context.Context) error {
	defer s.open.Store(0)
	s.flush.Open()
	defer s.flush.Shut(proof.ErrNotFollowing)

	prober := &prober{session: s}
	group, gctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.receiver.receive(gctx) })
	group.Go(func() error { return (&settler{shared: s.shared, server: s.server, pending: &s.visibility}).run(gctx) })
	group.Go(func() error { return prober.run(gctx) })
	group.Go(func() error { return s.watch(gctx) })
	if s.cfg.ReadAhead != 0 {
		group.Go(func() error { return s.ahead.Run(gctx) })
	}
	if s.writer == nil {
		return group.Wait()
	}
	group.Go(func() error { return broken(s.writer.Run(gctx)) })
	group.Go(func() error { return prober.lookWhenAsked(gctx) })
	err := group.Wait()
	s.leave(ctx, err)
	return err
}

// opening is a session up to the start of its stream.
type opening struct {
	*session
	control *pgx.Conn
	history *history // what the session has to continue to stay in the epoch
}

// prepare does all that doc.go lists, up to the start of the stream.
func (o *opening) prepare(ctx context.Context) error {
	found := o.arrive(ctx)
	var err error
	if found.position, err = o.identify(ctx); err != nil {
		return err
	}
	if found.setBack, err = o.hearLeader(ctx, found); err != nil {
		return err
	}
	if found.slot, found.provided, err = o.provide(ctx); err != nil {
		return err
	}
	p := o.plan(ctx, found)
	if p.waits() {
		if err := o.passHorizon(ctx, o.control); err != nil {
			return err
		}
	}
	at := o.startAt(p)
	o.from = at
	o.progress.stream(at)
	if err := o.start(ctx, at); err != nil {
		return err
	}
	if err := o.confirm(ctx, at); err != nil {
		return err
	}
	o.receiver.current.Store(o.catalogue)
	o.receiver.decoder = pgoutput.NewDecoder(o.catalogue.Schema(), o.guard.Tables(), o.cfg.BulkRows)
	o.receiver.interval = o.catalogue.StatusInterval
	o.ahead = o.reader()
	return o.begin(ctx, p, at)
}

// provide checks the catalogue and finds or makes publication and slot.
func (o *opening) provide(ctx context.Context) (at coherence.LSN, reason string, err error) {
	old, err := o.askOldest(ctx, o.control)
	if err != nil {
		return 0, "", err
	}
	o.readAhead.Baseline.Begin(old)
	found, err := o.cfg.Provide(ctx, o.control, &catalogue.Wants{
		Server: o.server, Replication: o.receiver.replication, Tables: o.guard.Tables(), Everything: o.guard.Epoch() == 0, Stuck: o.history.stuck, Waits: o.waitsForSlot,
	})
	if err != nil {
		return 0, "", err
	}
	o.catalogue, o.slot, o.history.stuck = found.Catalogue, found.Slot, nil
	return found.At, found.Reason, nil
}

// askOldest asks for the transactions that have ended, unless nobody will
// need it.
func (s *session) askOldest(ctx context.Context, q primary.Querier) (readahead.Oldest, error) {
	if s.cfg.ReadAhead == 0 || s.server.Recovery {
		return readahead.Oldest{}, nil
	}
	return readahead.AskOldest(ctx, q)
}

// reader makes what reads the log ahead of the stream.
func (s *session) reader() *readahead.Reader {
	return readahead.NewReader(readahead.Session{
		Primary: s.cfg.Primary(), Beside: func() *primary.Conn { return s.beside(s.server) }, Server: s.server, Slot: s.slot, From: s.from,
		After: s.cfg.ReadAhead, Interval: s.receiver.interval, Tables: s.guard.Tables(), BulkRows: s.cfg.BulkRows, Catalogue: s.receiver.current.Load,
		Chance: s.cfg.Chance, Log: s.log, Trouble: func(err error) { s.trouble("read ahead", err) },
	}, &s.progress, &s.readAhead)
}

// identify makes sure that both connections reach one and the same primary,
// and returns its flush position.
func (o *opening) identify(ctx context.Context) (coherence.LSN, error) {
	found, err := primary.Identify(ctx, o.control)
	if err != nil {
		return 0, err
	}
	same, position, err := primary.IdentifySender(ctx, o.receiver.replication)
	if err != nil {
		return 0, err
	}
	if found.Recovery {
		same.Recovery, same.Timeline = true, found.Timeline // a standby is refused, and told why, later
	}
	if err := found.Expect(same); err != nil {
		return 0, err
	}
	o.server = found
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
func (o *opening) settings() (statements []string) {
	if o.catalogue.DecodingRoom > pieceSize {
		statements = append(statements, fmt.Sprintf("SET logical_decoding_work_mem = %d", pieceSize))
	}
	if o.catalogue.Version >= transactionTimeoutVersion {
		// The walsender is inside a transaction while it sends one of ours. On a slow network it would
		// be ended each time at the same place.
		statements = append(statements, "SET transaction_timeout = 0")
	}
	return statements
}

// start starts the stream.
func (o *opening) start(ctx context.Context, at coherence.LSN) error {
	for _, set := range o.settings() {
		if _, err := o.receiver.replication.Exec(ctx, set).ReadAll(); err != nil {
			return fmt.Errorf("%s: %w", set, err)
		}
	}
	names := "publication_names " + catalogue.QuoteText(catalogue.QuoteAlways(o.cfg.Publication))
	err := pglogrepl.StartReplication(ctx, o.receiver.replication, o.slot, pglogrepl.LSN(at), pglogrepl.StartReplicationOptions{
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
func (o *opening) confirm(ctx context.Context, at coherence.LSN) error {
	now, err := catalogue.FindSlot(ctx, o.control, o.slot)
	switch {
	case err != nil:
		return fmt.Errorf("read slot %s: %w", o.slot, err)
	case now == nil:
		return fmt.Errorf("slot %s has gone", o.slot)
	case now.Confirmed > at:
		return fmt.Errorf("slot %s has moved from %s to %s while it was taken: somebody else reads it", o.slot, at, now.Confirmed)
	}
	return catalogue.CheckAsynchronous(ctx, o.control, now.PID)
}

package cdc

import (
	"context"

	"github.com/jackc/pgx/v5"
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
	if o.server, found.position, err = primary.IdentifyBoth(ctx, o.control, o.receiver.replication); err != nil {
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
	if err := o.cfg.StartStream(ctx, o.receiver.replication, o.catalogue, o.slot, at); err != nil {
		return err
	}
	if err := catalogue.ConfirmStream(ctx, o.control, o.slot, at); err != nil {
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

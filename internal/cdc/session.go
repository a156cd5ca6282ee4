package cdc

import (
	"context"
	"errors"

	"golang.org/x/sync/errgroup"

	"walpurge/internal/cdc/catalogue"
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

	p := &prober{session: s}
	group, gctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.receiver.receive(gctx) })
	group.Go(func() error { return (&settler{shared: s.shared, server: s.server, pending: &s.visibility}).run(gctx) })
	group.Go(func() error { return p.run(gctx) })
	group.Go(func() error { return newWatcher(s).run(gctx) })
	if s.cfg.ReadAhead != 0 {
		group.Go(func() error { return s.ahead.Run(gctx) })
	}
	if s.writer == nil {
		return group.Wait()
	}
	group.Go(func() error { return broken(s.writer.Run(gctx)) })
	group.Go(func() error { return p.lookWhenAsked(gctx) })
	err := group.Wait()
	s.leave(ctx, err)
	return err
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

// leave ends the term, because of err.
func (s *session) leave(ctx context.Context, err error) {
	if errors.Is(err, relay.ErrFenced) {
		return
	}
	reason := ""
	if doubted := doubtOf(err); doubted != nil {
		reason = doubted.reason
	}
	s.writer.Leave(ctx, reason)
}

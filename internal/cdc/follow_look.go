package cdc

import (
	"context"
	"slices"
	"time"

	"walpurge/internal/relay"
	"walpurge/internal/retry"
)

const (
	lookPatience = 5 * time.Second        // with the one that leads
	demandEvery  = 400 * time.Millisecond // it is told again that strict reads wait
)

// demand says that strict reads wait, for as long as wanting says so.
func (f *follower) demand(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-f.wanting:
		}
		f.stream.Want(ctx)
		retry.Wait(ctx, demandEvery)
	}
}

// want notes that a strict read waits for the relay.
func (f *follower) want() {
	select {
	case f.wanting <- struct{}{}:
	default:
	}
}

// request begins a request and returns its number.
func (f *follower) request() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.request, f.mu.answered = random(), false
	return f.mu.request
}

// hear takes the answers of an entry. REQUIRES: f.mu held.
func (f *follower) hear(e *relay.Entry) {
	if f.mu.request != 0 && slices.Contains(e.Answered, f.mu.request) {
		f.mu.request, f.mu.answered = 0, true
		f.wake()
	}
}

// ask asks who leads to look at the server, and tells whether somebody has
// answered that the history goes on.
func (f *follower) ask(ctx context.Context) bool {
	id := f.request()
	over := time.NewTimer(lookPatience)
	defer over.Stop()
	again := time.NewTicker(relay.Wait) // Redis may lose a request, or a leader that ends
	defer again.Stop()
	for {
		if err := f.stream.Ask(ctx, id); err != nil && ctx.Err() == nil {
			f.trouble(forRelay, err)
		}
		for asked := true; asked; {
			f.mu.Lock()
			answered, changed := f.mu.answered, f.mu.changed
			f.mu.Unlock()
			if answered {
				return true
			}
			select {
			case <-ctx.Done():
				return false
			case <-over.C:
				return false
			case <-changed:
			case <-again.C:
				asked = false
			}
		}
	}
}

// lookWhenAsked looks at the server whenever others have asked for it.
func (s *session) lookWhenAsked(ctx context.Context) error {
	w := s.writer
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-w.Asked():
		}
		for ids := w.Requests(); len(ids) > 0; ids = w.Requests() {
			err := s.lookAnew(ctx)
			if goes, why := s.goesOn(ctx, "a look at the server", err); !goes {
				return why
			}
			if err == nil { // else no answer: they ask again
				w.Answer(ids)
			}
		}
	}
}

// lookAnew makes sure that new connections lead to the server of the session,
// and that its log has not gone back.
func (s *session) lookAnew(ctx context.Context) error {
	side := s.beside(s.server)
	defer side.Close()
	q := question{before: s.guard.Applied(), asked: s.cfg.Now()}
	lsn, err := side.FlushPosition(ctx)
	if err != nil {
		return err
	}
	_, err = s.answered(q, lsn)
	return err
}

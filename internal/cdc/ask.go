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

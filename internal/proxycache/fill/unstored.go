package fill

import (
	"context"
	"errors"
	"net/http"
	"sync"

	"walpurge/internal/proxycache/outcome"
	"walpurge/internal/upstream"
)

// rest is the part of a response that nobody keeps.
type rest struct {
	Response *http.Response
	Prefix   []byte // what was read of it already
	Cancel   context.CancelCauseFunc
	once     sync.Once

	mu struct {
		sync.Mutex
		taken bool // by the leader, or because nobody wants it
	}
}

// Take makes the rest the caller's. Only the first gets it.
func (r *rest) Take() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mu.taken {
		return false
	}
	r.mu.taken = true
	return true
}

// discard ends the request unless somebody has taken the rest.
func (r *rest) discard() {
	if r.Take() {
		r.End()
	}
}

// End closes the response.
func (r *rest) End() {
	r.once.Do(func() {
		r.Cancel(errors.New("response dropped"))
		upstream.Discard(r.Response.Body)
	})
}

// release hands the rest of the response to the leader, or drops it if the
// leader is gone.
func (f *fetch) release(r *rest, reason outcome.Reason) {
	f.timer.Stop()
	upstream.GiveBack(r.Response) // nobody waits for it but its leader, who may be slow
	f.conclude(Released, func(s *State) {
		s.Rest, s.Reason, s.kept, s.Shared = r, reason, false, false
		s.Body = nil // the rest has it
	})
	f.mu.Lock()
	left := f.mu.left
	f.mu.Unlock()
	if left {
		r.discard()
	}
}

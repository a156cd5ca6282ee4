package proxycache

import (
	"context"
	"errors"
	"net/http"
	"sync"

	"walpurge/internal/upstream"
)

// rest is the part of a response that nobody keeps.
type rest struct {
	resp   *http.Response
	prefix []byte // what was read of it already
	cancel context.CancelCauseFunc
	once   sync.Once

	mu struct {
		sync.Mutex
		taken bool // by the leader, or because nobody wants it
	}
}

// take makes the rest the caller's. Only the first gets it.
func (r *rest) take() bool {
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
	if r.take() {
		r.end()
	}
}

// end closes the response.
func (r *rest) end() {
	r.once.Do(func() {
		r.cancel(errors.New("response dropped"))
		upstream.Discard(r.resp.Body)
	})
}

// release hands the rest of the response to the leader, or drops it if the
// leader is gone.
func (f *fetch) release(r *rest, reason Reason) {
	f.timer.Stop()
	upstream.GiveBack(r.resp) // nobody waits for it but its leader, who may be slow
	f.conclude(released, func(s *flightState) {
		s.rest, s.reason, s.kept, s.shared = r, reason, false, false
		s.body = nil // the rest has it
	})
	f.mu.Lock()
	left := f.mu.left
	f.mu.Unlock()
	if left {
		r.discard()
	}
}

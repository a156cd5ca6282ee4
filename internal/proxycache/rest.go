package proxycache

import (
	"context"
	"errors"
	"net/http"
	"sync"
)

// rest is the part of a response that nobody keeps.
type rest struct {
	resp   *http.Response
	prefix []byte // what was read of it already
	cancel context.CancelCauseFunc
	once   sync.Once
	taken  bool
	mu     sync.Mutex
}

// take makes the rest the caller's. Only the first gets it.
func (r *rest) take() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.taken {
		return false
	}
	r.taken = true
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
		discard(r.resp.Body)
	})
}

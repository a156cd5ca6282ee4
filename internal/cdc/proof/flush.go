package proof

import (
	"context"
	"errors"
	"sync"

	"walpurge/internal/coherence"
)

// flushAnswer is what a waiter gets.
type flushAnswer struct {
	lsn coherence.LSN
	err error
}

// FlushGroup lets those who ask for the flush position at about the same time
// share one query. The query starts after the last of them has asked, so the
// answer holds for each.
type FlushGroup struct {
	mu struct {
		sync.Mutex
		wake    chan struct{} // nil: nobody answers
		waiters Askers
	}
}

// Open says that somebody answers from now on.
func (f *FlushGroup) Open() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.wake = make(chan struct{}, 1)
}

// Shut sends everybody away with err.
func (f *FlushGroup) Shut(err error) {
	f.mu.Lock()
	f.mu.wake = nil
	f.mu.Unlock()
	f.Take().Answer(0, err)
}

// Take removes those who wait.
func (f *FlushGroup) Take() Askers {
	f.mu.Lock()
	defer f.mu.Unlock()
	waiters := f.mu.waiters
	f.mu.waiters = nil
	return waiters
}

// Waking gets something when somebody asks.
func (f *FlushGroup) Waking() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mu.wake
}

// Askers wait for one answer.
type Askers []chan flushAnswer

// Answer gives it to them.
func (w Askers) Answer(lsn coherence.LSN, err error) {
	for _, to := range w {
		to <- flushAnswer{lsn, err}
	}
}

// Ask asks for the flush position, and waits for the answer or the end of ctx.
func (f *FlushGroup) Ask(ctx context.Context) (coherence.LSN, error) {
	mine := make(chan flushAnswer, 1)
	f.mu.Lock()
	wake := f.mu.wake
	if wake == nil {
		f.mu.Unlock()
		return 0, ErrNotFollowing
	}
	f.mu.waiters = append(f.mu.waiters, mine)
	f.mu.Unlock()
	select {
	case wake <- struct{}{}:
	default:
	}
	select {
	case a := <-mine:
		return a.lsn, a.err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// Retire shuts f if it is still the one that wake belongs to: a session may
// have opened it anew.
func (f *FlushGroup) Retire(wake <-chan struct{}, err error) {
	f.mu.Lock()
	mine := f.mu.wake == wake
	f.mu.Unlock()
	if mine {
		f.Shut(err)
	}
}

// ErrNotFollowing says that there is no session that could answer.
var ErrNotFollowing = errors.New("the database's log is not followed at the moment")

package cdc

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

// flushGroup lets those who ask for the flush position at about the same time
// share one query. The query starts after the last of them has asked, so the
// answer holds for each.
type flushGroup struct {
	mu struct {
		sync.Mutex
		wake    chan struct{} // nil: nobody answers
		waiters askers
	}
}

// open says that somebody answers from now on.
func (f *flushGroup) open() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.wake = make(chan struct{}, 1)
}

// shut sends everybody away with err.
func (f *flushGroup) shut(err error) {
	f.mu.Lock()
	f.mu.wake = nil
	f.mu.Unlock()
	f.take().answer(0, err)
}

// take removes those who wait.
func (f *flushGroup) take() askers {
	f.mu.Lock()
	defer f.mu.Unlock()
	waiters := f.mu.waiters
	f.mu.waiters = nil
	return waiters
}

// waking gets something when somebody asks.
func (f *flushGroup) waking() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mu.wake
}

// askers wait for one answer.
type askers []chan flushAnswer

// answer gives it to them.
func (w askers) answer(lsn coherence.LSN, err error) {
	for _, to := range w {
		to <- flushAnswer{lsn, err}
	}
}

// ask asks for the flush position: see [Listener.FlushPosition].
func (f *flushGroup) ask(ctx context.Context) (coherence.LSN, error) {
	mine := make(chan flushAnswer, 1)
	f.mu.Lock()
	wake := f.mu.wake
	if wake == nil {
		f.mu.Unlock()
		return 0, errNotFollowing
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

// retire shuts f if it is still the one that wake belongs to: a session may
// have opened it anew.
func (f *flushGroup) retire(wake <-chan struct{}, err error) {
	f.mu.Lock()
	mine := f.mu.wake == wake
	f.mu.Unlock()
	if mine {
		f.shut(err)
	}
}

// errNotFollowing says that there is no session that could answer.
var errNotFollowing = errors.New("the database's log is not followed at the moment")

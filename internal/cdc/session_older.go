package cdc

import (
	"context"
	"errors"
	"fmt"
)

// errOlderCopy says that this process is led to an older copy of the server
// that another one follows.
var errOlderCopy = errors.New("the URL leads to an older copy of the PostgreSQL server: the process that leads has just looked at the newer one and goes on with it; see what the URL's host name resolves to here")

// hearLeader makes sure, before anything is done with a server that seems to
// be an older copy, that nobody leads on the newer one. It tells whether the
// server was set back, as far as anybody can know.
func (s *session) hearLeader(ctx context.Context, found standing) (setBack bool, _ error) {
	l := s.l
	if l.follower == nil || !s.astray(found) {
		return false, nil
	}
	l.setState("asking the process that leads whether the server was set back", nil)
	s.hesitate()
	if l.follower.ask(ctx) {
		return false, s.turnAway()
	}
	return true, ctx.Err()
}

// astray tells whether the server is another one than the history's, and
// behind it. If a leader has said that the history ends, it doesn't matter.
func (s *session) astray(found standing) bool {
	l := s.l
	h := &l.history
	if l.guard.Epoch() == 0 || !h.begun || h.doubt != "" || s.server.System != h.server.System || s.server == h.server {
		return false
	}
	if s.server.Timeline != h.server.Timeline {
		return s.server.Timeline < h.server.Timeline
	}
	return found.position < found.applied || l.follower.hasFoundOlder()
}

// hesitate is what comes before the question.
func (s *session) hesitate() {
	f := s.l.follower
	// Own connections may still lead to the newer one, and nobody knows yet which
	// of the two counts.
	f.hesitate()
	// Writes may bring the server past what has been applied before the next
	// session looks at it.
	f.foundOlder()
}

// turnAway is the end of a session that somebody who leads has spoken against.
func (s *session) turnAway() error {
	f := s.l.follower
	f.vacancy.close() // its connection leads there as well
	err := fmt.Errorf("%w (this one was started at %s)", errOlderCopy, s.server.Since())
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.elsewhere = err.Error()
	return err
}

// foundOlder notes that a server which is not the announced one ends before
// what has been applied. It holds for the epoch: whatever position such a
// server has later, nobody here continues the history on it unasked.
func (f *follower) foundOlder() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.older = true
}

func (f *follower) hasFoundOlder() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mu.older
}

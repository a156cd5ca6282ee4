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
func (o *opening) hearLeader(ctx context.Context, found standing) (setBack bool, _ error) {
	if o.follower == nil || !o.astray(found) {
		return false, nil
	}
	o.setState("asking the process that leads whether the server was set back", nil)
	o.hesitate()
	if o.follower.ask(ctx) {
		return false, o.turnAway()
	}
	return true, ctx.Err()
}

// astray tells whether the server is another one than the history's, and
// behind it. If a leader has said that the history ends, it doesn't matter.
func (o *opening) astray(found standing) bool {
	h := o.history
	if o.guard.Epoch() == 0 || !h.begun || h.doubt != "" || o.server.System != h.server.System || o.server == h.server {
		return false
	}
	if o.server.Timeline != h.server.Timeline {
		return o.server.Timeline < h.server.Timeline
	}
	return found.position < found.applied || o.follower.hasFoundOlder()
}

// hesitate is what comes before the question.
func (o *opening) hesitate() {
	f := o.follower
	// Own connections may still lead to the newer one, and nobody knows yet which
	// of the two counts.
	f.hesitate()
	// Writes may bring the server past what has been applied before the next
	// session looks at it.
	f.foundOlder()
}

// turnAway is the end of a session that somebody who leads has spoken against.
func (o *opening) turnAway() error {
	f := o.follower
	f.vacancy.Close() // its connection leads there as well
	err := fmt.Errorf("%w (this one was started at %s)", errOlderCopy, o.server.Since())
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

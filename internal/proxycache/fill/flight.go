package fill

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"walpurge/internal/coherence"
	"walpurge/internal/http1"
	"walpurge/internal/proxycache/outcome"
	"walpurge/internal/proxycache/position"
	"walpurge/internal/proxycache/route"
	"walpurge/internal/proxycache/store"
	"walpurge/internal/rfc9111"
)

// stage is how far a flight has come. It only rises.
type stage uint8

const (
	asking   stage = iota // the origin's head hasn't arrived
	Arriving              // the response will be kept if it ends well
	Whole                 // it is all there
	Released              // it will not be shared: the leader takes what is left, the others ask themselves (C3)
	Failed                // no response, or a broken one
)

// Flight is one request to the origin whose response may be stored, as those
// see it who wait for it. What it does, a fetch does in a goroutine of its own,
// which survives the flight's leader.
type Flight struct {
	Order  Order
	fills  *Fills
	Entry  *store.Entry // what it becomes; holds the handle
	opened bool         // a response may be stored: no pending commit touched it at the start

	cause  atomic.Pointer[coherence.Cause] // why it was taken out of the table
	doomed atomic.Bool                     // an unsafe request has succeeded meanwhile
	Queued atomic.Bool                     // it waits for its turn at the origin

	joined int // requests that came to share it; guarded by flights.mu

	cancel context.CancelCauseFunc
	timer  *time.Timer // calls timeUp

	// INVARIANT: wake is closed and replaced with every change of state. Once
	// state.over is set receivers doesn't rise.
	mu struct {
		sync.Mutex
		state     State
		wake      chan struct{}
		left      bool           // the leader is gone
		receivers int            // joiners to whom the body goes as it comes
		body      *http.Response // whose body comes
	}
}

// State is what those who wait see. A copy stays valid.
type State struct {
	Stage     stage
	fwdStatus int            // the origin's status, 0 before
	Head      []byte         // status line and fields, without Content-Length
	Own       []byte         // of a whole one: the head for the leader, if it has fields that aren't stored
	Length    int64          // of the body, -1 while unknown
	Body      []byte         // what has arrived of it; its bytes don't change
	names     []string       // of Vary
	Entry     *store.Entry   // of a whole one; of an arriving one its validators
	kept      bool           // or to be kept
	Shared    bool           // others than the leader may use it
	Valid     bool           // a stale entry was validated
	Reason    outcome.Reason // why it isn't kept or why it failed
	Status    int            // of the failure
	stale     *store.Entry   // of a failed one: what is stored
	Rest      *rest          // of a released one
	Interim   [][]byte       // the heads of the interim responses so far
	Over      bool           // its time: nobody may begin to share it
}

// Look returns the state and a channel that is closed when it changes.
func (f *Flight) Look() (State, <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mu.state, f.mu.wake
}

// update changes the state and wakes who waits.
func (f *Flight) update(change func(*State)) {
	f.mu.Lock()
	change(&f.mu.state)
	f.wakeAll()
	f.mu.Unlock()
}

// wakeAll wakes who waits. REQUIRES: f.mu held.
func (f *Flight) wakeAll() {
	close(f.mu.wake)
	f.mu.wake = make(chan struct{})
}

// Evicted takes the flight out of the table: who arrives from now on may not
// have what was read before (R7). Those who joined before may.
func (f *Flight) Evicted(c coherence.Cause) {
	f.cause.Store(&c)
	f.fills.Flights.remove(f)
}

// guarded tells whether the response has dependencies.
func (f *Flight) guarded() bool { return f.Entry.Guarded }

// joinable tells whether a reader that arrives now may share the flight (R7).
func (f *Flight) joinable() bool {
	return !f.doomed.Load() && (!f.guarded() || f.fills.guard.Joinable(&f.Entry.Handle))
}

// serves tells whether the response is new enough for what a request demands
// (R7). A flight that left while a commit was decoded and not yet visible may
// have read what was before it, although the commit had been applied.
func (f *Flight) serves(d position.Demand) bool {
	if d.Plain() || d.Strict {
		return !d.Strict
	}
	return !f.guarded() || d.Met(f.Entry.Handle.Epoch(), f.Entry.Handle.Asof())
}

// Fits tells whether a joiner would get the same variant as the leader.
func (f *Flight) Fits(s *State, joiner *http1.Request) bool {
	if len(s.names) == 0 {
		return true
	}
	mine := rfc9111.AppendVariant(nil, s.names, joiner)
	return string(mine) == string(rfc9111.AppendVariant(nil, s.names, f.Order.Request))
}

// Status is the flight's Cache-Status member for the leader or a joiner.
func (f *Flight) Status(s *State, leader bool) rfc9111.CacheStatus {
	cs := rfc9111.CacheStatus{Fwd: rfc9111.FwdURIMiss, FwdStatus: s.fwdStatus, Stored: s.kept, Collapsed: !leader}
	if f.Order.Key != f.Order.Primary {
		cs.Fwd = rfc9111.FwdVaryMiss
	}
	if f.Order.Why != rfc9111.NotForwarded {
		cs.Fwd = f.Order.Why
	}
	if !s.kept {
		cs.Detail = s.Reason
	}
	return cs
}

// open registers the dependencies and fixes asof, before the request is sent
// (C2).
func (f *Flight) open() {
	f.opened = !f.guarded() || f.fills.guard.Open(&f.Entry.Handle, f, f.Order.Deps)
}

// flights is the table of the fills on their way.
type flights struct {
	mu    sync.Mutex
	byKey map[string]*Flight
}

// Join finds a flight that a reader of the route that arrives now and demands
// this much may share (R7), other than the one it has waited for in vain.
func (t *flights) Join(key string, rt *route.Route, not *Flight, d position.Demand) *Flight {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.find(key, rt, not, d)
}

func (t *flights) find(key string, rt *route.Route, not *Flight, d position.Demand) *Flight {
	f := t.byKey[key]
	if f == nil || f == not || f.Order.Route != rt || !f.joinable() || !f.serves(d) {
		return nil
	}
	f.joined++
	return f
}

// Flying tells whether a fill of key is on its way.
func (t *flights) Flying(key string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.byKey[key] != nil
}

// start opens f and puts it into the table, in the place of one that can't be
// joined. If there is one by now that can be, it returns that instead; if
// stored tells that a response has been stored since the caller looked, it
// returns nil. A flight stores before it leaves the table, so that under the
// table's lock one of the two shows.
func (t *flights) start(f *Flight, not *Flight, d position.Demand, stored func() bool) *Flight {
	if f.Order.Alone {
		f.open()
		return f
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if other := t.find(f.Order.Key, f.Order.Route, not, d); other != nil {
		return other
	}
	if stored() {
		return nil
	}
	t.byKey[f.Order.Key] = f
	f.open()
	return f
}

// put enters a mark, which nobody joins.
func (t *flights) put(f *Flight) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.byKey[f.Order.Key] = f
}

// remove takes f out if it is still there.
func (t *flights) remove(f *Flight) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byKey[f.Order.Key] == f {
		delete(t.byKey, f.Order.Key)
	}
}

// doom keeps the fills of a key from being stored or joined.
func (t *flights) doom(primary string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for key, f := range t.byKey {
		if f.Order.Primary == primary || f.Order.Base == primary {
			f.doomed.Store(true)
			delete(t.byKey, key)
		}
	}
}

// Count is how many flights can be joined, and how many requests have joined
// them.
func (t *flights) Count() (flying, joined int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, f := range t.byKey {
		joined += f.joined
	}
	return len(t.byKey), joined
}

// Any is one of the flights that can be joined; nil: there is none.
func (t *flights) Any() *Flight {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, f := range t.byKey {
		return f
	}
	return nil
}

// LeaderGone tells whether the leader is gone.
func (f *Flight) LeaderGone() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mu.left
}

package proxycache

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"

	"walpurge/internal/coherence"
	"walpurge/internal/http1"
	"walpurge/internal/rfc9111"
)

// stage is how far a flight has come. It only rises.
type stage uint8

const (
	asking   stage = iota // the origin's head hasn't arrived
	arriving              // the response will be kept if it ends well
	whole                 // it is all there
	released              // it will not be shared: the leader takes what is left, the others ask themselves (C3)
	failed                // no response, or a broken one
)

// flight is one request to the origin whose response may be stored, and those
// who wait for it. It runs in a goroutine of its own and survives its leader.
type flight struct {
	proxy   *Proxy
	req     *http1.Request // the leader's
	route   *route         // nil without a declared one
	primary string         // the key without variant
	base    string         // of a QUERY: the key of its target
	alias   string         // the key that takes primary's place in the memory tier, if not empty
	content []byte         // of a QUERY
	key     string         // what it is found by: primary, or the variant's key where that is known
	target  string
	header  map[string][]string // what goes to the origin
	query   rfc9111.Question
	deps    []coherence.Dependency
	subject *subject        // what late dependencies read of the request; nil if there are none
	stale   *entry          // to be validated
	named   []*entry        // other variants, whose tags the request names
	chosen  *entry          // the one of them that was validated
	sie     coherence.Nanos // how long past its lifetime the leader takes what is stored in the place of an error
	asked   coherence.Nanos // when its request was sent
	part    *entry          // to be completed
	fwd     rfc9111.Forward // why what is stored was not enough
	strict  bool            // out of the table: nobody joins

	pastRedis bool // there is a Redis tier, and what it holds was not what the request wanted

	entry  *entry // what it becomes; holds the handle
	own    []byte // the head for the leader, if it has fields that aren't stored
	block  []byte // then, the head to be stored
	opened bool   // a response may be stored: no pending commit touches it

	undeclared bool // the response doesn't say what it depends on
	overtaken  bool // what it says it depends on has changed since the request was sent

	cause    atomic.Pointer[coherence.Cause]
	reusable bool        // the response is fresh on arrival: who joins may have it (RFC 9111 section 5.2.2.4)
	doomed   atomic.Bool // an unsafe request has succeeded meanwhile
	queued   atomic.Bool // it waits for its turn at the origin

	joined int // requests that came to share it; guarded by flights.mu

	ctx    context.Context
	cancel context.CancelCauseFunc
	timer  *time.Timer

	parent *exchange  // until it is launched
	span   trace.Span // nil: none

	mu    sync.Mutex
	wake  chan struct{} // closed and replaced when something below changes
	left  bool          // the leader is gone
	state flightState

	receivers int            // joiners to whom the body goes as it comes
	body      *http.Response // whose body comes
}

// flightState is what those who wait see. A copy stays valid.
type flightState struct {
	stage     stage
	fwdStatus int      // the origin's status, 0 before
	head      []byte   // status line and fields, without Content-Length
	length    int64    // of the body, -1 while unknown
	body      []byte   // what has arrived of it; its bytes don't change
	names     []string // of Vary
	entry     *entry   // of a whole one; of an arriving one its validators
	kept      bool     // or to be kept
	shared    bool     // others than the leader may use it
	valid     bool     // a stale entry was validated
	reason    Reason   // why it isn't kept or why it failed
	status    int      // of the failure
	rest      *rest    // of a released one
	interim   [][]byte // the heads of the interim responses so far
	over      bool     // its time: nobody may begin to share it
}

// look returns the state and a channel that is closed when it changes.
func (f *flight) look() (flightState, <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.state, f.wake
}

// update changes the state and wakes who waits.
func (f *flight) update(change func(*flightState)) {
	f.mu.Lock()
	change(&f.state)
	close(f.wake)
	f.wake = make(chan struct{})
	f.mu.Unlock()
}

// Evicted takes the flight out of the table: who arrives from now on may not
// have what was read before (R7). Those who joined before may.
func (f *flight) Evicted(c coherence.Cause) {
	f.cause.Store(&c)
	f.proxy.flights.remove(f)
}

// guarded tells whether the response has dependencies.
func (f *flight) guarded() bool { return f.entry.guarded }

// joinable tells whether a reader that arrives now may share the flight (R7).
func (f *flight) joinable() bool {
	return !f.doomed.Load() && (!f.guarded() || f.proxy.opt.Guard.Joinable(&f.entry.handle))
}

// open registers the dependencies and fixes asof, before the request is sent
// (C2).
func (f *flight) open() {
	f.opened = !f.guarded() || f.proxy.opt.Guard.Open(&f.entry.handle, f, f.deps)
}

// release hands the rest of the response to the leader, or drops it if the
// leader is gone.
func (f *flight) release(r *rest, reason Reason) {
	f.timer.Stop()
	giveBack(r.resp) // nobody waits for it but its leader, who may be slow
	f.proxy.flights.remove(f)
	f.update(func(s *flightState) {
		s.stage, s.rest, s.reason, s.kept, s.shared = released, r, reason, false, false
		s.body = nil // the rest has it
	})
	f.mu.Lock()
	left := f.left
	f.mu.Unlock()
	if left {
		r.discard()
	}
}

// flights is the table of the fills on their way.
type flights struct {
	mu    sync.Mutex
	byKey map[string]*flight
}

// join finds a flight that a reader of the route that arrives now and demands
// this much may share (R7), other than the one it has waited for in vain.
func (t *flights) join(key string, rt *route, not *flight, d demand) *flight {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.find(key, rt, not, d)
}

func (t *flights) find(key string, rt *route, not *flight, d demand) *flight {
	f := t.byKey[key]
	if f == nil || f == not || f.route != rt || !f.joinable() || !d.served(f) {
		return nil
	}
	f.joined++
	return f
}

// flying tells whether a fill of key is on its way.
func (t *flights) flying(key string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.byKey[key] != nil
}

// start opens f and puts it into the table, in the place of one that can't be
// joined. If there is one by now that can be, it returns that instead; if
// stored tells that a response has been stored since the caller looked, it
// returns nil. A flight stores before it leaves the table, so that under the
// table's lock one of the two shows.
func (t *flights) start(f *flight, not *flight, d demand, stored func() bool) *flight {
	if f.strict {
		f.open()
		return f
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if other := t.find(f.key, f.route, not, d); other != nil {
		return other
	}
	if stored() {
		return nil
	}
	t.byKey[f.key] = f
	f.open()
	return f
}

// remove takes f out if it is still there.
func (t *flights) remove(f *flight) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byKey[f.key] == f {
		delete(t.byKey, f.key)
	}
}

// doom keeps the fills of a key from being stored or joined.
func (t *flights) doom(primary string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for key, f := range t.byKey {
		if f.primary == primary || f.base == primary {
			f.doomed.Store(true)
			delete(t.byKey, key)
		}
	}
}

// count is how many flights can be joined, and how many requests have joined
// them.
func (t *flights) count() (flying, joined int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, f := range t.byKey {
		joined += f.joined
	}
	return len(t.byKey), joined
}

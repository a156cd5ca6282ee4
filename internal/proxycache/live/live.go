// Package live tells open pages when the response that they show would be
// purged, as a stream of events.
package live

import (
	"io"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"walpurge/internal/coherence"
	"walpurge/internal/http1"
	"walpurge/internal/proxycache/depends"
	"walpurge/internal/proxycache/route"
	"walpurge/internal/proxycache/store"
)

// Bounds on what pages that listen cost. Each has a connection, a goroutine
// and one entry in the guard's index; what happens between two events is one event.
const (
	listeners = 512
	heartbeat = 15 * time.Second
	pause     = 500 * time.Millisecond // between two events of one listener
	look      = 10 * time.Millisecond  // between two looks at the watermark
)

// Feed is what routes with events are served from: a client names the URL that
// it shows and is told when the response to its own request for that URL would
// be purged (watch.go says how that is known). The exported fields are not
// changed once a page listens.
type Feed struct {
	Listeners        int           // at most at one time; 512
	Heartbeat, Pause time.Duration // between two comments, and at least between two events of one page; 15 s and 500 ms

	guard  *coherence.Guard
	memory *store.Memory
	told   prometheus.Counter

	mu struct {
		sync.Mutex
		listeners map[*Subscriber]struct{}
		closed    bool
	}
	done chan struct{} // closed by Close
}

// New makes a feed of pages whose responses lie in memory, and registers its
// metrics. guard is nil where no route has dependencies.
func New(guard *coherence.Guard, memory *store.Memory, registry prometheus.Registerer) *Feed {
	f := &Feed{Listeners: listeners, Heartbeat: heartbeat, Pause: pause, guard: guard, memory: memory, done: make(chan struct{})}
	f.mu.listeners = make(map[*Subscriber]struct{})
	f.told = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "walpurge_live_events_total", Help: "Times that a page which listens was told to refresh.",
	})
	registry.MustRegister(f.told, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "walpurge_live_listeners", Help: "Pages that listen on a route with events.",
	}, func() float64 {
		f.mu.Lock()
		defer f.mu.Unlock()
		return float64(len(f.mu.listeners))
	}))
	return f
}

// Close ends all streams, so that a stop need not wait for pages that stay
// open. It may be called more than once.
func (f *Feed) Close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.mu.closed {
		f.mu.closed = true
		close(f.done)
	}
}

// enter lets a listener in, unless there are too many.
func (f *Feed) enter(w *Subscriber) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.mu.closed || len(f.mu.listeners) >= f.Listeners {
		return false
	}
	f.mu.listeners[w] = struct{}{}
	return true
}

func (f *Feed) leave(w *Subscriber) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.mu.listeners, w)
}

// Page is what a client shows and where it listens.
type Page struct {
	Route    *route.Route
	Shown    *depends.Subject // what its response is computed from
	Key      string           // of the response, without variant
	Request  *http1.Request   // whose fields a request for the page would have, too
	Replaced func() bool      // whether the routes are others by now
	Writer   io.Writer        // to the client, each write at once
	Gone     <-chan struct{}  // closed when the client is gone
}

// Subscribe lets a page in and watches what its response depends on: from here
// on nothing is missed. It returns nil if too many listen, or the feed is closed.
// The caller calls Run, if it can, and Leave in any case.
func (f *Feed) Subscribe(p Page) *Subscriber {
	w := &Subscriber{feed: f, Page: p, anew: make(chan struct{}, 1)}
	if !f.enter(w) {
		return nil
	}
	w.settled = w.begin()
	return w
}

// Leave ends the watch.
func (w *Subscriber) Leave() {
	w.feed.leave(w)
	w.end()
}

// Run tells the page of each purge until it is gone, the proxy stops, or the
// routes are others. A browser comes back by itself.
func (w *Subscriber) Run() {
	f, settled := w.feed, w.settled
	beat := time.NewTicker(f.Heartbeat)
	defer beat.Stop()
	if !w.say("retry: 2000\n: listening\n\n") {
		return
	}
	for {
		if !settled && !w.tell() {
			return
		}
		select {
		case <-w.Gone:
			return
		case <-f.done:
			return
		case <-beat.C:
			if w.Replaced() || !w.say(":\n\n") {
				return
			}
			settled = true
		case <-w.anew:
			w.end()
			w.begin()
			settled = false
		case <-w.watch.touched:
			settled = w.renew() // what happens from here on is another event
		}
	}
}

// tell says that the page was purged, once a new one can't be older than what
// has been applied by now (R4).
func (w *Subscriber) tell() bool {
	g := w.feed.guard
	epoch, at := g.Epoch(), g.Applied()
	for g.Epoch() == epoch && g.Watermark() < at {
		if !w.sleep(look) {
			return false
		}
	}
	if !w.sleep(w.Route.StaleOnChange) || !w.sleep(w.feed.Pause-time.Since(w.last)) {
		return false
	}
	w.last = time.Now()
	w.feed.told.Inc()
	return w.say("event: purged\ndata: purged\n\n")
}

// sleep waits, and tells whether there is still somebody to wait for.
func (w *Subscriber) sleep(d time.Duration) bool {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-w.Gone:
	case <-w.feed.done:
	}
	return false
}

func (w *Subscriber) say(text string) bool {
	_, err := io.WriteString(w.Writer, text)
	return err == nil
}

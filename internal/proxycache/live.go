package proxycache

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"walpurge/internal/expr"
	"walpurge/internal/http1"
	"walpurge/internal/problem"
	"walpurge/internal/proxycache/outcome"
	"walpurge/internal/proxycache/route"
	"walpurge/internal/rfc9111"
)

// Bounds on what pages that listen cost. Each has a connection, a goroutine
// and one entry in the guard's index; what happens between two events is one event.
const (
	liveListeners = 512
	liveHeartbeat = 15 * time.Second
	livePause     = 500 * time.Millisecond // between two events of one listener
	liveLook      = 10 * time.Millisecond  // between two looks at the watermark
	liveURL       = 4 << 10                // bytes
)

// live is the feed of a route with Events: a client names the URL that it
// shows and is told when the response to its own request for that URL would be
// purged (live_watch.go says how that is known).
type live struct {
	heartbeat, pause time.Duration
	told             prometheus.Counter

	mu struct {
		sync.Mutex
		listeners map[*onlooker]struct{}
		closed    bool
	}
	done chan struct{} // closed by close
}

func newLive(p *Proxy) *live {
	l := &live{heartbeat: liveHeartbeat, pause: livePause, done: make(chan struct{})}
	l.mu.listeners = make(map[*onlooker]struct{})
	l.told = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "walpurge_live_events_total", Help: "Times that a page which listens was told to refresh.",
	})
	p.metrics.registry.MustRegister(l.told, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "walpurge_live_listeners", Help: "Pages that listen on a route with events.",
	}, func() float64 {
		l.mu.Lock()
		defer l.mu.Unlock()
		return float64(len(l.mu.listeners))
	}))
	return l
}

// close ends all streams, so that a stop need not wait for pages that stay
// open. It may be called more than once.
func (l *live) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.mu.closed {
		l.mu.closed = true
		close(l.done)
	}
}

// enter lets a listener in, unless there are too many.
func (l *live) enter(w *onlooker) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.closed || len(l.mu.listeners) >= liveListeners {
		return false
	}
	l.mu.listeners[w] = struct{}{}
	return true
}

func (l *live) leave(w *onlooker) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.mu.listeners, w)
}

// liveDetail marks what this feed answers in Cache-Status.
const liveDetail outcome.Reason = "events"

// serveLive answers a request for the feed.
func (x *exchange) serveLive() verdict {
	cs := rfc9111.CacheStatus{Detail: liveDetail}
	if string(x.Method) != "GET" {
		body := problem.Document(http.StatusMethodNotAllowed, "The feed knows GET.")
		head := problem.AppendHead(x.Buffer(), http.StatusMethodNotAllowed, cs.String(), len(body), time.Now())
		_ = x.Send(http1.AppendField(head, "Allow", "GET"), body)
		x.done(outcome.Pass, liveDetail)
		return verdict{}
	}
	w, words := x.onlooker()
	if w == nil {
		return refused(http.StatusUnprocessableEntity, outcome.Pass, cs, words)
	}
	l := x.p.live
	if !l.enter(w) {
		return refused(http.StatusServiceUnavailable, outcome.Pass, cs, "Too many pages listen already.")
	}
	defer l.leave(w)
	// First the watch, then the answer: whoever has the answer misses nothing.
	settled := w.begin()
	defer w.end()
	head := http1.AppendStatus(nil, http.StatusOK)
	head = http1.AppendField(head, "Content-Type", "text/event-stream")
	head = http1.AppendField(head, "Cache-Control", "no-store")
	head = http1.AppendField(head, "X-Content-Type-Options", "nosniff")
	head = http1.AppendField(head, "X-Accel-Buffering", "no") // a proxy in between shall not wait for more
	head = http1.AppendField(head, "Date", time.Now().UTC().Format(http.TimeFormat))
	if err := x.Start(http.StatusOK, cs.Append(head), http1.Unknown); err != nil {
		return verdict{}
	}
	x.done(outcome.Pass, liveDetail) // here, since how long a page stays open is no response time
	x.Watch(func() { close(w.gone) })
	w.run(settled)
	_ = x.Finish(nil)
	return verdict{}
}

// onlooker is who shows the named URL, as if this client had asked for it with
// the fields of this request. If there is nothing to watch it returns nil and
// a sentence.
func (x *exchange) onlooker() (w *onlooker, words string) {
	form, err := url.ParseQuery(string(x.Query))
	if err != nil || len(form["url"]) != 1 {
		return nil, "Name one page with url=, its path and query percent-encoded."
	}
	target := form.Get("url")
	path, raw, hasQuery := strings.Cut(target, "?")
	odd := func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '#' || r == '\\' }
	if len(target) > liveURL || strings.ContainsFunc(target, odd) || !http1.CleanPath([]byte(path)) {
		return nil, "url is not the path and query of a page."
	}
	var asks route.Asked
	x.p.routing.Load().Read(&asks, []byte(path), []byte(raw), hasQuery)
	rt := asks.Route
	if !rt.Guarded {
		return nil, "No row ends the response to this URL: its route has no depends_on."
	}
	for _, k := range rt.Keys {
		if k.Source == expr.Cookie || k.Name == "authorization" {
			return nil, "The response to this URL is for one person; the feed knows pages that are the same for all."
		}
	}
	https, host := x.p.opt.Clients.Trusted.Outside(x.Exchange)
	key, at := asks.AppendKey(nil, https, x.Request, host)
	return &onlooker{
		x: x, route: rt, shown: asks.Subject(x.Request, string(key[at.From:at.To])), key: string(key), routing: asks.Table,
		gone: make(chan struct{}), anew: make(chan struct{}, 1),
	}, ""
}

// run tells the page of each purge until it is gone, the proxy stops, or the
// routes are others. A browser comes back by itself.
func (w *onlooker) run(settled bool) {
	l := w.x.p.live
	beat := time.NewTicker(l.heartbeat)
	defer beat.Stop()
	if !w.say("retry: 2000\n: listening\n\n") {
		return
	}
	for {
		if !settled && !w.tell() {
			return
		}
		select {
		case <-w.gone:
			return
		case <-l.done:
			return
		case <-beat.C:
			if w.x.p.routing.Load() != w.routing || !w.say(":\n\n") {
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
func (w *onlooker) tell() bool {
	g := w.guard()
	epoch, at := g.Epoch(), g.Applied()
	for g.Epoch() == epoch && g.Watermark() < at {
		if !w.sleep(liveLook) {
			return false
		}
	}
	if !w.sleep(w.route.StaleOnChange) || !w.sleep(w.x.p.live.pause-time.Since(w.last)) {
		return false
	}
	w.last = time.Now()
	w.x.p.live.told.Inc()
	return w.say("event: purged\ndata: purged\n\n")
}

// sleep waits, and tells whether there is still somebody to wait for.
func (w *onlooker) sleep(d time.Duration) bool {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-w.gone:
	case <-w.x.p.live.done:
	}
	return false
}

func (w *onlooker) say(text string) bool {
	_, err := w.x.Write([]byte(text))
	return err == nil
}

package admin

import (
	"embed"
	"encoding/json"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"
)

// dashboardFiles are the page, its style and its script. Nothing is fetched
// from anywhere else.
//
//go:embed dashboard/index.html dashboard/style.css dashboard/script.js dashboard/charts.js
//go:embed dashboard/uplot/LICENSE dashboard/uplot/uPlot.iife.min.js dashboard/uplot/uPlot.min.css
var dashboardFiles embed.FS

// Bounds on what people who look on cost.
const (
	dashboardListeners = 16
	dashboardInterval  = time.Second
	dashboardPatience  = 10 * time.Second // until a browser that takes nothing is given up
)

// dashboard sends snapshots to the pages that are open. Without one, nothing
// runs: requests pay nothing for it.
type dashboard struct {
	a       *Admin
	changes changes

	mu struct {
		sync.Mutex
		listeners map[chan []byte]struct{}
		quit      chan struct{} // ends the ticker; nil while nobody listens
		closed    bool
	}
	done chan struct{} // closed by close
}

func newDashboard(a *Admin) *dashboard {
	d := &dashboard{a: a, done: make(chan struct{})}
	d.mu.listeners = make(map[chan []byte]struct{})
	return d
}

// close ends all streams, so that the admin port need not wait for pages that
// stay open. It may be called more than once.
func (d *dashboard) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.mu.closed {
		d.mu.closed = true
		close(d.done)
	}
}

// listen adds a listener, and starts the ticker for the first. It returns nil
// when there are too many.
func (d *dashboard) listen() chan []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.mu.closed || len(d.mu.listeners) >= dashboardListeners {
		return nil
	}
	// Room for one: who is slower than a snapshot a second misses some.
	events := make(chan []byte, 1)
	d.mu.listeners[events] = struct{}{}
	if d.mu.quit == nil {
		d.mu.quit = make(chan struct{})
		go d.run(d.mu.quit)
	}
	return events
}

// leave takes a listener away, and stops the ticker with the last.
func (d *dashboard) leave(events chan []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.mu.listeners, events)
	if len(d.mu.listeners) == 0 && d.mu.quit != nil {
		close(d.mu.quit)
		d.mu.quit = nil
	}
}

// run takes a snapshot each second until quit.
func (d *dashboard) run(quit chan struct{}) {
	tick := time.NewTicker(dashboardInterval)
	defer tick.Stop()
	for {
		select {
		case <-quit:
			return
		case <-d.done:
			return
		case <-tick.C:
		}
		b := d.event()
		d.mu.Lock()
		for events := range d.mu.listeners {
			select {
			case events <- b:
			default:
			}
		}
		d.mu.Unlock()
	}
}

// event is a snapshot as a server-sent event
// (https://html.spec.whatwg.org/multipage/server-sent-events.html).
func (d *dashboard) event() []byte {
	b, err := json.Marshal(d.snapshot())
	if err != nil {
		d.a.log.Warn("the dashboard's snapshot can't be sent", "error", err)
		return []byte(": no snapshot\n\n")
	}
	return append(append([]byte("data: "), b...), "\n\n"...)
}

// serveEvents streams snapshots, the first at once.
func (d *dashboard) serveEvents(w http.ResponseWriter, r *http.Request) {
	events := d.listen()
	if events == nil {
		w.Header().Set("Retry-After", "10")
		writeProblem(w, http.StatusServiceUnavailable, "There are "+strconv.Itoa(dashboardListeners)+" dashboards open already; close one.")
		return
	}
	defer d.leave(events)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Accel-Buffering", "no") // a proxy in between shall not wait for more
	stream := http.NewResponseController(w)
	for b := d.event(); ; {
		// The server's limit is on whole responses, and this one has no end.
		_ = stream.SetWriteDeadline(time.Now().Add(dashboardPatience))
		if _, err := w.Write(b); err != nil {
			return
		}
		if err := stream.Flush(); err != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-d.done:
			return
		case b = <-events:
		}
	}
}

// dashboardTypes are the files' media types.
var dashboardTypes = map[string]string{"html": "text/html; charset=utf-8", "css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8"}

// serveFile answers with one of the embedded files.
func serveFile(name string) http.HandlerFunc {
	kind := strings.TrimPrefix(path.Ext(name), ".")
	return func(w http.ResponseWriter, _ *http.Request) {
		b, err := dashboardFiles.ReadFile("dashboard/" + name)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		h := w.Header()
		h.Set("Content-Type", dashboardTypes[kind])
		h.Set("Cache-Control", "no-cache") // another version of the program has another page
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Content-Security-Policy",
			"default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		_, _ = w.Write(b)
	}
}

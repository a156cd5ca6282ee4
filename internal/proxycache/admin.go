package proxycache

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"mime"
	"net/http"
	"net/http/pprof"
	"runtime/debug"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"walpurge/internal/coherence"
	"walpurge/internal/problem"
)

// Purger purges groups. It writes a logical message, so that a purge takes
// the same way as every change and reaches every proxy.
type Purger interface {
	Purge(ctx context.Context, groups []string) (coherence.LSN, error)
}

// Admin is the handler of the admin port.
func (p *Proxy) Admin() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(p.metrics.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { plainText(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", p.readyz)
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, p.status()) })
	mux.HandleFunc("GET /explain", p.explain)
	mux.HandleFunc("POST /purge", p.permitted(p.purge))
	mux.HandleFunc("GET /{$}", serveFile("index.html"))
	mux.HandleFunc("GET /dashboard/style.css", serveFile("style.css"))
	mux.HandleFunc("GET /dashboard/script.js", serveFile("script.js"))
	mux.HandleFunc("GET /dashboard/charts.js", serveFile("charts.js"))
	mux.HandleFunc("GET /dashboard/uplot.js", serveFile("uplot/uPlot.iife.min.js"))
	mux.HandleFunc("GET /dashboard/uplot.css", serveFile("uplot/uPlot.min.css"))
	mux.HandleFunc("GET /events", p.dashboard.serveEvents)
	mux.HandleFunc("GET /debug/pprof/", p.permitted(pprof.Index))
	mux.HandleFunc("GET /debug/pprof/profile", p.permitted(pprof.Profile))
	mux.HandleFunc("GET /debug/pprof/trace", p.permitted(pprof.Trace))
	return mux
}

func plainText(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text + "\n"))
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n'))
}

func writeProblem(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_, _ = w.Write(problem.Document(status, detail))
}

// ready tells whether the proxy can do what it is for, and if not, why.
func (p *Proxy) ready() (bool, string) {
	if p.opt.Guard == nil {
		return true, "ready"
	}
	switch {
	case p.opt.Guard.Epoch() == 0:
		return false, "not ready: the write-ahead log is not being read yet"
	case p.opt.Guard.Proven() == 0:
		return false, "not ready: there is no proof of freshness yet; requests go to the origin"
	}
	return true, "ready"
}

func (p *Proxy) readyz(w http.ResponseWriter, _ *http.Request) {
	ok, why := p.ready()
	if !ok {
		plainText(w, http.StatusServiceUnavailable, why)
		return
	}
	plainText(w, http.StatusOK, why)
}

// status is what /status shows.
func (p *Proxy) status() map[string]any {
	ready, why := p.ready()
	flying, joined := p.fills.flights.count()
	s := map[string]any{
		"version":     version(),
		"uptime":      time.Since(p.started).Round(time.Second).String(),
		"ready":       ready,
		"readiness":   why,
		"origin":      p.upstream.Name(),
		"connections": p.clients.Connections(),
		"memory": map[string]any{
			"bytes": p.memory.Bytes(), "limit": p.opt.Memory, "entries": p.memory.Entries(),
		},
		"fills_in_flight": flying,
		"fills_joined":    joined,
	}
	if p.redis != nil {
		s["redis"] = p.redis.Status()
	}
	if g := p.opt.Guard; g != nil {
		guard := map[string]any{
			"epoch": g.Epoch().String(), "applied": g.Applied().String(), "watermark": g.Watermark().String(), "handles": g.Handles(),
		}
		if proven := g.Proven(); proven != 0 {
			guard["behind_seconds"] = time.Duration(p.opt.Now() - proven).Seconds()
		}
		s["guard"] = guard
	}
	declared := p.routing.Load().Routes
	routes := make([]string, len(declared))
	for i, rt := range declared {
		routes[i] = rt.Pattern
	}
	s["routes"] = routes
	s["top_routes"], s["top_keys"] = p.topRoutes(topShown), p.top.list(topShown)
	if p.opt.Status != nil {
		for name, v := range p.opt.Status() {
			s[name] = v
		}
	}
	return s
}

func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}

// allowed checks the bearer token in constant time.
func (p *Proxy) allowed(r *http.Request) bool {
	if p.opt.AdminToken == "" {
		return true
	}
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	return ok && subtle.ConstantTimeCompare([]byte(token), []byte(p.opt.AdminToken)) == 1
}

// permitted is h for those who have the token.
func (p *Proxy) permitted(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !p.allowed(r) {
			w.Header().Set("WWW-Authenticate", "Bearer")
			writeProblem(w, http.StatusUnauthorized, "Send the admin token: Authorization: Bearer TOKEN.")
			return
		}
		h(w, r)
	}
}

// purge takes {"groups": ["a", "b"]} or group=a&group=b.
func (p *Proxy) purge(w http.ResponseWriter, r *http.Request) {
	// A form can be sent by any page in the operator's browser.
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" && site != "none" {
		writeProblem(w, http.StatusForbidden, "A purge can't be asked for by another site.")
		return
	}
	if p.opt.Purger == nil {
		writeProblem(w, http.StatusNotImplemented, "Purging needs a connection to PostgreSQL; configure postgres.url.")
		return
	}
	groups, err := purgeGroups(w, r)
	if err != nil {
		writeProblem(w, http.StatusBadRequest, "Name the groups: {\"groups\": [\"NAME\"]} as JSON, or group=NAME.")
		return
	}
	for _, g := range groups {
		if g == "" || strings.ContainsAny(g, " \t\r\n\x00") || len(g) > 256 {
			writeProblem(w, http.StatusBadRequest, "A group's name has 1 to 256 characters and no white space.")
			return
		}
	}
	lsn, err := p.opt.Purger.Purge(r.Context(), groups)
	if err != nil {
		p.log.Warn("purge failed", "error", err)
		writeProblem(w, http.StatusBadGateway, "The purge could not be written to PostgreSQL; see the log.")
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{"groups": groups, "position": lsn.String()})
}

func purgeGroups(w http.ResponseWriter, r *http.Request) ([]string, error) {
	r.Body = http.MaxBytesReader(w, r.Body, 1<<20)
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	var groups []string
	if kind == "application/json" {
		var doc struct {
			Groups []string `json:"groups"`
		}
		d := json.NewDecoder(r.Body)
		d.DisallowUnknownFields()
		if err := d.Decode(&doc); err != nil {
			return nil, err
		}
		groups = doc.Groups
	} else {
		if err := r.ParseForm(); err != nil {
			return nil, err
		}
		groups = append(r.Form["group"], r.Form["groups"]...)
	}
	if len(groups) == 0 {
		return nil, http.ErrMissingFile
	}
	return groups, nil
}

func (p *Proxy) explain(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	method, target := q.Get("method"), q.Get("url")
	if method == "" {
		method = http.MethodGet
	}
	ex, err := p.Explain(method, target, nil)
	if err != nil {
		writeProblem(w, http.StatusBadRequest, "This is no request: "+err.Error()+". Ask with ?method=GET&url=/path?query.")
		return
	}
	writeJSON(w, http.StatusOK, ex)
}

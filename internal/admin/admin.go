// Package admin is the admin port: metrics, readiness, status, explanations,
// purges, profiles and the dashboard. It asks the proxy by what it exports, and
// nothing of the proxy knows it.
package admin

import (
	"crypto/subtle"
	"encoding/json"
	"log/slog"
	"maps"
	"mime"
	"net/http"
	"net/http/pprof"
	"strings"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"walpurge/internal/problem"
	"walpurge/internal/proxycache"
)

// Options is what the admin port is made with.
type Options struct {
	Purger proxycache.Purger // nil: purges are refused
	Token  string            // bearer token for what changes state; empty: none is asked for
	Logger *slog.Logger      // nil: nothing is logged

	// Status adds the rest of the program to /status, by name; nil: nothing.
	Status func() map[string]any
}

// Admin answers on the admin port of one proxy: New, Handler, Close.
type Admin struct {
	proxy     *proxycache.Proxy
	opt       Options
	log       *slog.Logger
	dashboard *dashboard
}

// New makes the admin port of p. It does no I/O, and starts nothing.
func New(p *proxycache.Proxy, o Options) *Admin {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	a := &Admin{proxy: p, opt: o, log: o.Logger}
	a.dashboard = newDashboard(a)
	return a
}

// Close ends the streams of open dashboards, so that the admin port need not
// wait for pages that stay open. It may be called more than once.
func (a *Admin) Close() { a.dashboard.close() }

// Handler is what the admin port answers with.
func (a *Admin) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(a.proxy.Registry(), promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { plainText(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", a.readyz)
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, a.status()) })
	mux.HandleFunc("GET /explain", a.explain)
	mux.HandleFunc("POST /purge", a.permitted(a.purge))
	mux.HandleFunc("GET /{$}", serveFile("index.html"))
	mux.HandleFunc("GET /dashboard/style.css", serveFile("style.css"))
	mux.HandleFunc("GET /dashboard/script.js", serveFile("script.js"))
	mux.HandleFunc("GET /dashboard/charts.js", serveFile("charts.js"))
	mux.HandleFunc("GET /dashboard/uplot.js", serveFile("uplot/uPlot.iife.min.js"))
	mux.HandleFunc("GET /dashboard/uplot.css", serveFile("uplot/uPlot.min.css"))
	mux.HandleFunc("GET /events", a.dashboard.serveEvents)
	mux.HandleFunc("GET /debug/pprof/", a.permitted(pprof.Index))
	mux.HandleFunc("GET /debug/pprof/profile", a.permitted(pprof.Profile))
	mux.HandleFunc("GET /debug/pprof/trace", a.permitted(pprof.Trace))
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

func (a *Admin) readyz(w http.ResponseWriter, _ *http.Request) {
	ok, why := a.proxy.Ready()
	if !ok {
		plainText(w, http.StatusServiceUnavailable, why)
		return
	}
	plainText(w, http.StatusOK, why)
}

// status is what /status shows.
func (a *Admin) status() map[string]any {
	s := a.proxy.Status()
	if a.opt.Status != nil {
		maps.Copy(s, a.opt.Status())
	}
	return s
}

// allowed checks the bearer token in constant time.
func (a *Admin) allowed(r *http.Request) bool {
	if a.opt.Token == "" {
		return true
	}
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	return ok && subtle.ConstantTimeCompare([]byte(token), []byte(a.opt.Token)) == 1
}

// permitted is h for those who have the token.
func (a *Admin) permitted(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !a.allowed(r) {
			w.Header().Set("WWW-Authenticate", "Bearer")
			writeProblem(w, http.StatusUnauthorized, "Send the admin token: Authorization: Bearer TOKEN.")
			return
		}
		h(w, r)
	}
}

// purge takes {"groups": ["a", "b"]} or group=a&group=b.
func (a *Admin) purge(w http.ResponseWriter, r *http.Request) {
	// A form can be sent by any page in the operator's browser.
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" && site != "none" {
		writeProblem(w, http.StatusForbidden, "A purge can't be asked for by another site.")
		return
	}
	if a.opt.Purger == nil {
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
	lsn, err := a.opt.Purger.Purge(r.Context(), groups)
	if err != nil {
		a.log.Warn("purge failed", "error", err)
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

func (a *Admin) explain(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	method, target := q.Get("method"), q.Get("url")
	if method == "" {
		method = http.MethodGet
	}
	ex, err := a.proxy.Explain(method, target, nil)
	if err != nil {
		writeProblem(w, http.StatusBadRequest, "This is no request: "+err.Error()+". Ask with ?method=GET&url=/path?query.")
		return
	}
	writeJSON(w, http.StatusOK, ex)
}

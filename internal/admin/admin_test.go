package admin

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
)

func TestReadyOnlyAfterTheFirstProof(t *testing.T) {
	r := newRig(t, nil)
	r.guard.Reset(9, 10)
	if w := r.ask("GET", "/readyz", ""); w.Code != 503 || !strings.Contains(w.Body.String(), "no proof") {
		t.Fatal(w.Code, w.Body)
	}
	if w := r.ask("GET", "/healthz", ""); w.Code != 200 {
		t.Fatal(w.Code)
	}
	r.prove()
	if w := r.ask("GET", "/readyz", ""); w.Code != 200 {
		t.Fatal(w.Code, w.Body)
	}
	if w := newPlainRig(t).ask("GET", "/readyz", ""); w.Code != 200 {
		t.Fatal("without PostgreSQL there is nothing to wait for", w.Code)
	}
}

func TestMetricsHaveTheirNames(t *testing.T) {
	r := newRig(t, nil)
	r.get("/api/listings/1")
	r.get("/api/listings/1")
	r.get("/x")
	var body string
	r.eventually("the last request is counted", func() bool { // after its response has been sent
		body = r.ask("GET", "/metrics", "").Body.String()
		return strings.Contains(body, `{outcome="pass",route="other"} 1`)
	})
	for _, line := range []string{
		`walpurge_requests_total{outcome="hit",route="/api/listings/{id}"} 1`,
		`walpurge_requests_total{outcome="miss",route="/api/listings/{id}"} 1`,
		`walpurge_requests_total{outcome="pass",route="other"} 1`,
		`walpurge_memory_entries 1`, `walpurge_memory_bytes `, `walpurge_upstream_duration_seconds_count 2`,
		`walpurge_request_duration_seconds_count{outcome="hit"} 1`, "go_goroutines", "process_cpu_seconds_total",
	} {
		if !strings.Contains(body, line) {
			t.Errorf("no %s", line)
		}
	}
	if t.Failed() {
		t.Log(body)
	}
}

func TestPurge(t *testing.T) {
	p := &purges{}
	r := newRig(t, func(o *Options) { o.Purger, o.Token = p, "secret" })
	if w := r.ask("POST", "/purge", "group=a"); w.Code != 401 {
		t.Fatal(w.Code)
	}
	if w := r.ask("POST", "/purge", "group=a", "Authorization: Bearer wrong"); w.Code != 401 {
		t.Fatal(w.Code)
	}
	const token, form = "Authorization: Bearer secret", "Content-Type: application/x-www-form-urlencoded"
	if w := r.ask("POST", "/purge", `{"groups":["a","b"]}`, token, "Content-Type: application/json"); w.Code != 200 || !strings.Contains(w.Body.String(), "1/2") {
		t.Fatal(w.Code, w.Body)
	}
	if w := r.ask("POST", "/purge", "group=c&group=d", token, form); w.Code != 200 {
		t.Fatal(w.Code, w.Body)
	}
	if got := strings.Join(p.groups, ""); got != "abcd" {
		t.Fatal(got)
	}
	for _, body := range []string{"", "group=a+b", "group="} {
		if w := r.ask("POST", "/purge", body, token, form); w.Code != 400 {
			t.Errorf("%q: %d", body, w.Code)
		}
	}
	if w := r.ask("POST", "/purge", "group=c", token, form, "Sec-Fetch-Site: cross-site"); w.Code != 403 {
		t.Fatal(w.Code)
	}
	p.err = errors.New("connection refused to postgres://user:pass@host")
	if w := r.ask("POST", "/purge", "group=c", token, form); w.Code != 502 || strings.Contains(w.Body.String(), "pass") {
		t.Fatal(w.Code, w.Body)
	}
	if w := newRig(t, nil).ask("POST", "/purge", "group=c", form); w.Code != 501 {
		t.Fatal(w.Code)
	}
	if w := r.ask("GET", "/purge", ""); w.Code != http.StatusMethodNotAllowed {
		t.Fatal(w.Code)
	}
}

func TestProfilesAreForWhoHasTheToken(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Token = "secret" })
	for _, path := range []string{"/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/profile?seconds=1", "/debug/pprof/trace?seconds=1"} {
		if w := r.ask("GET", path, ""); w.Code != 401 || strings.Contains(w.Body.String(), "heap") {
			t.Errorf("%s without the token: %d", path, w.Code)
		}
	}
	w := r.ask("GET", "/debug/pprof/heap?gc=1", "", "Authorization: Bearer secret")
	if w.Code != 200 || !strings.HasPrefix(w.Body.String(), "\x1f\x8b") {
		t.Errorf("%d, %.60q", w.Code, w.Body)
	}
	if w := newRig(t, nil).ask("GET", "/debug/pprof/", ""); w.Code != 200 || !strings.Contains(w.Body.String(), "goroutine") {
		t.Errorf("where no token is set: %d", w.Code)
	}
}

func TestStatusAndPage(t *testing.T) {
	r := newRig(t, func(o *Options) {
		o.Status = func() map[string]any { return map[string]any{"slot": "<b>active</b>"} }
	})
	r.get("/api/listings/1")
	var s map[string]any
	if err := json.Unmarshal(r.ask("GET", "/status", "").Body.Bytes(), &s); err != nil {
		t.Fatal(err)
	}
	if s["ready"] != true || s["slot"] != "<b>active</b>" || s["guard"].(map[string]any)["handles"] != 1.0 {
		t.Fatal(s)
	}
	if body := r.ask("GET", "/", "").Body.String(); !strings.Contains(body, "<h1>walpurge</h1>") || strings.Contains(body, "<b>") {
		t.Fatal(body)
	}
	if w := r.ask("GET", "/nothing", ""); w.Code != 404 {
		t.Fatal(w.Code)
	}
}

func TestExplain(t *testing.T) {
	r := newRig(t, nil)
	r.get("/api/listings/1")
	host := strings.TrimPrefix(r.url, "http://")
	ex, err := r.proxy.Explain("GET", "http://"+host+"/api/listings/1", nil)
	if err != nil || !ex.InMemory || ex.Route != "/api/listings/{id}" || ex.PurgedBy[0] != "a change of a row of public.listings that has or had id = '1'" {
		t.Fatalf("%+v %v", ex, err)
	}
	ex, err = r.proxy.Explain("GET", "/api/listings?city=Lagos&min_price=5&max_price=", nil)
	if err != nil || ex.PurgedBy[0] != "a change of a row of public.listings that has or had city = 'Lagos' and price >= '5'" {
		t.Fatalf("%+v %v", ex, err)
	}
	for target, want := range map[string]string{"/other": "No route", "/a//b": "differently"} {
		if ex, err := r.proxy.Explain("GET", target, nil); err != nil || !strings.Contains(ex.Why, want) {
			t.Errorf("%+v %v", ex, err)
		}
	}
	if ex, err := r.proxy.Explain("POST", "/api/listings", nil); err != nil || ex.Cached {
		t.Errorf("%+v %v", ex, err)
	}
	for target, want := range map[string]string{"/elsewhere": "request's body", "/api/listings": "Only GET and HEAD"} {
		if ex, err := r.proxy.Explain("QUERY", target, nil); err != nil || !strings.Contains(ex.Why, want) {
			t.Errorf("QUERY %s: %v, %v; want %q", target, ex, err, want)
		}
	}
	if _, err := r.proxy.Explain("GET", "no path", nil); err == nil {
		t.Error("no request is explained")
	}
	w := r.ask("GET", "/explain?url=/api/listings/7", "")
	if w.Code != 200 || !strings.Contains(w.Body.String(), "id = '7'") {
		t.Fatal(w.Code, w.Body)
	}
	if w := r.ask("GET", "/explain?url=x", ""); w.Code != 400 {
		t.Fatal(w.Code)
	}
}

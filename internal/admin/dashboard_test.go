package admin

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"walpurge/dev/testbed/browser"
)

// adminServer serves the rig's admin port.
func (r *rig) adminServer() *httptest.Server {
	r.t.Helper()
	s := httptest.NewServer(r.admin.Handler())
	r.t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return s
}

// stream is an open /events.
type stream struct {
	t    testing.TB
	resp *http.Response
	r    *bufio.Reader
}

func openStream(t testing.TB, url string) *stream {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	return &stream{t, resp, bufio.NewReader(resp.Body)}
}

// next reads one snapshot.
func (s *stream) next() snapshot {
	s.t.Helper()
	line, err := s.r.ReadString('\n')
	if err != nil {
		s.t.Fatalf("read event: %v", err)
	}
	data, ok := strings.CutPrefix(line, "data: ")
	if blank, err := s.r.ReadString('\n'); !ok || err != nil || blank != "\n" {
		s.t.Fatalf("%q, %q is no event", line, blank)
	}
	var v snapshot
	if err := json.Unmarshal([]byte(data), &v); err != nil {
		s.t.Fatal(err)
	}
	return v
}

func (s *snapshot) count(metric string, labels ...string) (n float64) {
	for _, one := range s.Counters[metric] {
		fits := true
		for i := 0; i < len(labels); i += 2 {
			fits = fits && one.Labels[labels[i]] == labels[i+1]
		}
		if fits {
			n += one.Value
		}
	}
	return n
}

func TestEventsFollowTheTraffic(t *testing.T) {
	r := newRig(t, func(o *Options) {
		o.Token, o.Purger = "secret", &purges{}
		o.Status = func() map[string]any { return map[string]any{"database": map[string]any{"state": "following"}} }
	})
	s := openStream(t, r.adminServer().URL)
	if kind := s.resp.Header.Get("Content-Type"); kind != "text/event-stream" {
		t.Fatal(kind)
	}
	first := s.next()
	if first.count("walpurge_requests_total") != 0 || !first.TokenNeeded || !first.CanPurge || first.Status["ready"] != true ||
		first.Status["database"].(map[string]any)["state"] != "following" || first.Changes != nil {
		t.Fatalf("%+v", first)
	}
	r.get("/api/listings/1")
	r.get("/api/listings/1")
	r.admin.Changed("public.listings", "update", 3, 2, 1500*time.Microsecond)
	for {
		v := s.next() // the stream has an end in time
		if v.At <= first.At {
			t.Fatal("a snapshot is not newer than the one before")
		}
		if v.count("walpurge_requests_total", "outcome", "hit", "route", "/api/listings/{id}") != 1 {
			continue
		}
		if len(v.Changes) != 1 || v.Changes[0].Table != "public.listings" || v.Changes[0].Purged != 2 || v.Changes[0].Took != 1.5 {
			t.Fatalf("%+v", v.Changes)
		}
		return
	}
}

func TestNothingRunsWithoutListeners(t *testing.T) {
	r := newRig(t, nil)
	d := r.admin.dashboard
	ticking := func() bool {
		d.mu.Lock()
		defer d.mu.Unlock()
		return d.mu.quit != nil
	}
	if ticking() {
		t.Fatal("snapshots are taken for nobody")
	}
	a := r.adminServer()
	s := openStream(t, a.URL)
	s.next()
	if !ticking() {
		t.Fatal("nothing runs for a listener")
	}
	_ = s.resp.Body.Close()
	r.eventually("the ticker ends with the last listener", func() bool { return !ticking() })
}

func TestListenersAreBounded(t *testing.T) {
	r := newRig(t, nil)
	a := r.adminServer()
	var open []*stream
	for range dashboardListeners {
		s := openStream(t, a.URL)
		s.next()
		open = append(open, s)
	}
	if s := openStream(t, a.URL); s.resp.StatusCode != http.StatusServiceUnavailable || s.resp.Header.Get("Retry-After") == "" {
		t.Fatal(s.resp.Status)
	}
	_ = open[0].resp.Body.Close()
	r.eventually("a place is free again", func() bool {
		events := r.admin.dashboard.listen()
		if events != nil {
			r.admin.dashboard.leave(events)
		}
		return events != nil
	})
}

func TestCloseEndsTheStreams(t *testing.T) {
	r := newRig(t, nil)
	s := openStream(t, r.adminServer().URL)
	s.next()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	r.admin.Close()
	for {
		if _, err := s.r.ReadString('\n'); err != nil {
			if ctx.Err() != nil || s.resp.Request.Context().Err() != nil {
				t.Fatal("the stream goes on")
			}
			return
		}
	}
}

func TestLastChangesAreKept(t *testing.T) {
	var c changes
	if got := c.newest(); len(got) != 0 {
		t.Fatal(got)
	}
	for i := range keptChanges + 5 {
		c.add(change{Rows: i})
		if got := c.newest(); len(got) != min(i+1, keptChanges) || got[0].Rows != i || got[len(got)-1].Rows != max(0, i-keptChanges+1) {
			t.Fatalf("after %d: %+v", i+1, got)
		}
	}
}

// TestPageFetchesNothingFromElsewhere: it has to work without the internet.
func TestPageFetchesNothingFromElsewhere(t *testing.T) {
	r := newRig(t, nil)
	for path, kind := range map[string]string{
		"/": "text/html", "/dashboard/style.css": "text/css", "/dashboard/script.js": "text/javascript",
		"/dashboard/charts.js": "text/javascript", "/dashboard/uplot.js": "text/javascript", "/dashboard/uplot.css": "text/css",
	} {
		w := r.ask("GET", path, "")
		if w.Code != 200 || !strings.HasPrefix(w.Header().Get("Content-Type"), kind) || !strings.HasPrefix(w.Header().Get("Content-Security-Policy"), "default-src 'none'") {
			t.Errorf("%s: %d %v", path, w.Code, w.Header())
		}
		body := strings.ReplaceAll(w.Body.String(), "/*! https://github.com/leeoniya/uPlot (", "") // who made it, in a comment
		if strings.Contains(body, "http://") || strings.Contains(body, "https://") {
			t.Errorf("%s names another site", path)
		}
	}
}

// TestDashboardInABrowser: the numbers move with the traffic, and the boxes
// explain and purge.
func TestDashboardInABrowser(t *testing.T) {
	purger := &purges{}
	r := newRig(t, func(o *Options) { o.Purger, o.Token = purger, "secret" })
	page, cancel := context.WithTimeout(browser.Start(t), time.Minute)
	defer cancel()
	total := func(n int) chromedp.Action[chromedp.Void] {
		return chromedp.WaitVisible(fmt.Sprintf(`//dd[@id="total" and text()="%d"]`, n))
	}
	if err := chromedp.Do(page, chromedp.Navigate(r.adminServer().URL+"/"), total(0),
		chromedp.WaitVisible(`//p[@id="ready" and text()="Ready"]`)); err != nil {
		t.Fatalf("open the page: %v", err)
	}
	for range 4 {
		r.get("/api/listings/1")
	}
	if err := chromedp.Do(page, total(4), chromedp.WaitVisible(`//dd[@id="ratio" and text()="75 %"]`),
		chromedp.WaitVisible(`//tbody[@id="routes"]/tr[td[1]="/api/listings/{id}" and td[3]="4" and td[4]="75 %"]`)); err != nil {
		t.Fatalf("see four requests: %v", err)
	}
	if err := chromedp.Do(page,
		chromedp.SetValue(chromedp.CSS("#explain-url"), "/api/listings/7?x=1"), chromedp.Click(chromedp.CSS("#explain button")),
		chromedp.WaitVisible(`//dl[@id="explanation"]/dd[contains(., "id = '7'")]`)); err != nil {
		t.Fatalf("explain a URL: %v", err)
	}
	if err := chromedp.Do(page,
		chromedp.SetValue(chromedp.CSS("#purge-groups"), "front news"), chromedp.SetValue(chromedp.CSS("#purge-token"), "wrong"),
		chromedp.Click(chromedp.CSS("#purge button")), chromedp.WaitVisible(`//p[@id="purged" and contains(., "admin token")]`),
		chromedp.SetValue(chromedp.CSS("#purge-token"), "secret"), chromedp.Click(chromedp.CSS("#purge button")),
		chromedp.WaitVisible(`//p[@id="purged" and contains(., "Purged front, news at position 1/2")]`)); err != nil {
		t.Fatalf("purge: %v", err)
	}
	if got := strings.Join(purger.groups, " "); got != "front news" {
		t.Error(got)
	}
	r.admin.Changed("public.listings", "update", 1, 1, time.Millisecond)
	if err := chromedp.Do(page, chromedp.WaitVisible(`//tbody[@id="changes"]/tr[td[2]="public.listings" and td[3]="update"]`)); err != nil {
		t.Fatalf("see a change: %v", err)
	}
}

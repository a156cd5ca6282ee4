package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

func body(text string) answer {
	return answer{status: 200, contentType: "text/plain", body: []byte(text)}
}

func TestJudge(t *testing.T) {
	const lag = time.Second
	start := time.Now().Add(-10 * time.Second)
	at := func(seconds float64) time.Time { return start.Add(time.Duration(seconds * float64(time.Second))) }
	listing := page{target: "/api/listings/7", id: 7}
	lagos := page{target: "/api/listings?city=Lagos", city: "Lagos"}
	all := page{target: "/api/listings"}

	// The origin is asked at 0, the proxy at 2 and the origin again until 3: the window is 1 to 3.
	for _, test := range []struct {
		name               string
		page               page
		before, hit, after string
		miss               bool
		writes             []write
		want               verdict
	}{
		{name: "the same everywhere", page: listing, before: "a", hit: "a", after: "a", want: fresh},
		{name: "an old page and nobody wrote", page: listing, before: "new", hit: "old", after: "new", want: stale},
		{name: "not from the cache", page: listing, before: "new", hit: "old", after: "new", miss: true, want: notHit},
		{
			name: "changed right after the hit", page: listing, before: "a", hit: "a", after: "b",
			writes: []write{{begun: at(2.1), ended: at(2.2), known: true, touch: touch{ids: []int64{7}}}}, want: unclear,
		},
		{
			name: "changed less than the lag before the hit", page: listing, before: "a", hit: "a", after: "b",
			writes: []write{{begun: at(1.4), ended: at(1.5), known: true, touch: touch{ids: []int64{7}}}}, want: unclear,
		},
		{
			name: "changed and changed back", page: listing, before: "a", hit: "b", after: "a",
			writes: []write{
				{begun: at(1.5), ended: at(1.6), known: true, touch: touch{ids: []int64{7}}},
				{begun: at(2.1), ended: at(2.2), known: true, touch: touch{ids: []int64{7}}},
			}, want: unclear,
		},
		{
			name: "a commit that was under way when the window began", page: listing, before: "new", hit: "old", after: "new",
			writes: []write{{begun: at(-1), ended: at(1.1), known: true, touch: touch{ids: []int64{7}}}}, want: unclear,
		},
		{
			name: "a commit that had returned before the window", page: listing, before: "new", hit: "old", after: "new",
			writes: []write{{begun: at(-1), ended: at(0.9), known: true, touch: touch{ids: []int64{7}}}}, want: stale,
		},
		{
			name: "a write that began after the last answer", page: listing, before: "new", hit: "old", after: "new",
			writes: []write{{begun: at(3.1), ended: at(3.2), known: true, touch: touch{ids: []int64{7}}}}, want: stale,
		},
		{
			name: "another listing was changed", page: listing, before: "new", hit: "old", after: "new",
			writes: []write{{begun: at(1.4), ended: at(1.5), known: true, touch: touch{ids: []int64{8}}}}, want: stale,
		},
		{
			name: "a write of unknown outcome", page: listing, before: "new", hit: "old", after: "new",
			writes: []write{{begun: at(1.4), ended: at(1.5)}}, want: unclear,
		},
		{
			name: "somebody moved away from the list's city", page: lagos, before: "a", hit: "b", after: "a",
			writes: []write{{begun: at(1.4), ended: at(1.5), known: true, touch: touch{ids: []int64{8}, cities: []string{"Lagos", "Accra"}}}}, want: unclear,
		},
		{
			name: "only other cities changed", page: lagos, before: "new", hit: "old", after: "new",
			writes: []write{{begun: at(1.4), ended: at(1.5), known: true, touch: touch{ids: []int64{8}, cities: []string{"Rome", "Accra"}}}}, want: stale,
		},
		{
			name: "any city changed and the list is of all", page: all, before: "new", hit: "old", after: "new",
			writes: []write{{begun: at(1.4), ended: at(1.5), known: true, touch: touch{ids: []int64{8}, cities: []string{"Rome", "Rome"}}}}, want: unclear,
		},
		{name: "somebody who is not in the ledger changed it", page: listing, before: "a", hit: "a", after: "b", want: unclear},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := newLedger()
			for _, w := range test.writes {
				l.closed = append(l.closed, &w)
			}
			e := evidence{before: body(test.before), hit: body(test.hit), after: body(test.after)}
			e.before.sent, e.before.received = at(0), at(0.1)
			e.hit.sent, e.hit.received, e.hit.hit = at(2), at(2.5), !test.miss
			e.after.sent, e.after.received = at(2.5), at(3)
			if got, reason := judge(test.page, e, lag, l); got != test.want {
				t.Errorf("verdict %d (%s), want %d", got, reason, test.want)
			}
		})
	}
}

// TestJudgeComparesStatus: an old 404 where a listing is now, and the reverse, are differences too.
func TestJudgeComparesStatus(t *testing.T) {
	e := evidence{before: body("x"), hit: body("x"), after: body("x")}
	now := time.Now()
	e.before.received, e.hit.sent, e.hit.hit, e.after.received = now.Add(-2*time.Second), now, true, now
	e.hit.status = 404
	if got, _ := judge(page{id: 1}, e, time.Second, newLedger()); got != stale {
		t.Errorf("verdict %d, want %d", got, stale)
	}
}

// site is one page, behind a cache whose answers the test decides.
type site struct {
	sync.Mutex
	now    string // what the origin shows
	cached string // what the cache holds; "": nothing
}

func (s *site) origin(w http.ResponseWriter, _ *http.Request) {
	s.Lock()
	defer s.Unlock()
	_, _ = fmt.Fprint(w, s.now)
}

func (s *site) proxy(w http.ResponseWriter, _ *http.Request) {
	s.Lock()
	defer s.Unlock()
	if s.cached == "" {
		s.cached = s.now
		w.Header().Set("Cache-Status", "walpurge; fwd=uri-miss; stored")
	} else {
		w.Header().Set("Cache-Status", "walpurge; hit; ttl=3600")
	}
	_, _ = fmt.Fprint(w, s.cached)
}

func newAuditorOf(t *testing.T, s *site, lag time.Duration) *auditor {
	return &auditor{
		client: newClient(4), site: handle(t, s.proxy), origin: handle(t, s.origin), ledger: newLedger(), lag: lag,
	}
}

func TestAuditFindsAnOldPage(t *testing.T) {
	s := &site{now: "price 200", cached: "price 100"}
	v, reason, err := newAuditorOf(t, s, 20*time.Millisecond).audit(t.Context(), page{target: "/api/listings/1", id: 1})
	must(t, err)
	if v != stale {
		t.Fatalf("verdict %d (%s), want %d", v, reason, stale)
	}
	for _, want := range []string{"/api/listings/1", "price 100", "price 200"} {
		if !strings.Contains(reason, want) {
			t.Errorf("the reason does not name %q: %s", want, reason)
		}
	}
}

func TestAuditOfACorrectCache(t *testing.T) {
	s := &site{now: "price 200"}
	v, reason, err := newAuditorOf(t, s, 20*time.Millisecond).audit(t.Context(), page{target: "/api/listings/1", id: 1})
	must(t, err)
	if v != fresh {
		t.Errorf("verdict %d (%s), want %d", v, reason, fresh)
	}
}

// TestAuditWaitsForTheLag: a page that is purged a moment late, and within the allowed lag, is no stale page. The
// cache here forgets the old page only when the origin is asked the first time and the lag has begun.
func TestAuditWaitsForTheLag(t *testing.T) {
	const lag = 300 * time.Millisecond
	s := &site{now: "new", cached: "old"}
	var purge sync.Once
	a := newAuditorOf(t, s, lag)
	a.origin = handle(t, func(w http.ResponseWriter, r *http.Request) {
		s.origin(w, r)
		purge.Do(func() {
			time.AfterFunc(lag/3, func() { s.Lock(); s.cached = "new"; s.Unlock() })
		})
	})
	v, reason, err := a.audit(t.Context(), page{target: "/api/listings/1", id: 1})
	must(t, err)
	if v != fresh {
		t.Errorf("verdict %d (%s), want %d", v, reason, fresh)
	}
}

// neverPurging caches every page for ever, as a cache would that missed all changes.
type neverPurging struct {
	origin string
	client *client
	mu     sync.Mutex
	pages  map[string]answer
}

func (c *neverPurging) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	a, hit := c.pages[r.RequestURI]
	c.mu.Unlock()
	if !hit {
		var err error
		if a, err = c.client.page(r.Context(), c.origin+r.RequestURI); err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		c.mu.Lock()
		c.pages[r.RequestURI] = a
		c.mu.Unlock()
	}
	respondAs(w, a, hit)
}

func respondAs(w http.ResponseWriter, a answer, hit bool) {
	w.Header().Set("Content-Type", a.contentType)
	w.Header().Set("Cache-Status", map[bool]string{true: "walpurge; hit; ttl=3600", false: "walpurge; fwd=uri-miss"}[hit])
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body)
}

// loadOver is a load on a real service with real writers. The cache is the test's.
func loadOver(t *testing.T, cache func(service string) http.HandlerFunc) *load {
	t.Helper()
	database, service := listings(t)
	c, err := readCatalogue(t.Context(), connect(t, database))
	must(t, err)
	proxy := handle(t, cache(service))
	l := newLoad(Settings{Rate: 200, Changes: 100}, endpoints{
		Listen: strings.TrimPrefix(proxy, "http://"), Origin: service, Postgres: database,
	}, c)
	l.auditor.lag = 50 * time.Millisecond
	return l
}

// runUntil runs a load until done says so.
func runUntil(t *testing.T, l *load, what string, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- l.run(ctx) }()
	defer func() {
		cancel()
		must(t, <-ended)
	}()
	eventually(t, what, done)
}

func TestLoadFindsACacheThatNeverPurges(t *testing.T) {
	l := loadOver(t, func(service string) http.HandlerFunc {
		c := &neverPurging{origin: service, client: newClient(100), pages: make(map[string]answer)}
		return c.ServeHTTP
	})
	runUntil(t, l, "five stale pages", func() bool { return l.stale.Load() >= 5 })
	if err := l.verdict(); err == nil || !strings.Contains(err.Error(), "stale: GET /") {
		t.Errorf("verdict %v, want stale pages named", err)
	}
}

// TestLoadFindsNothingWrongWithNoCache: all answers are the origin's own and claim to be hits. However the writers
// interleave with the auditors, none is stale.
func TestLoadFindsNothingWrongWithNoCache(t *testing.T) {
	l := loadOver(t, func(service string) http.HandlerFunc {
		c := newClient(100)
		return func(w http.ResponseWriter, r *http.Request) {
			a, err := c.page(r.Context(), service+r.RequestURI)
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadGateway)
				return
			}
			respondAs(w, a, true)
		}
	})
	runUntil(t, l, "a thousand audited hits and three hundred changed rows", func() bool {
		return l.audited.Load() >= 1000 && l.changes.Load() >= 300
	})
	l.auditRest(t.Context())
	if err := l.verdict(); err != nil {
		t.Error(err)
	}
	if l.requests.Load() == 0 || l.hits.Load() != l.requests.Load() {
		t.Errorf("%d of %d requests were hits, want all", l.hits.Load(), l.requests.Load())
	}
	t.Logf("%d audited, %d undecided, %d rows changed", l.audited.Load(), l.undecided.Load(), l.changes.Load())
}

// TestAuditOfAPageThatIsNotCached: what the proxy fetched for the request is no hit, whatever it shows.
func TestAuditOfAPageThatIsNotCached(t *testing.T) {
	s := &site{now: "price 200"}
	a := newAuditorOf(t, s, time.Millisecond)
	a.site = handle(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Status", "walpurge; fwd=bypass")
		_, _ = fmt.Fprint(w, "price 100")
	})
	v, reason, err := a.audit(t.Context(), page{target: "/api/listings/1", id: 1})
	must(t, err)
	if v != notHit {
		t.Errorf("verdict %d (%s), want %d", v, reason, notHit)
	}
}

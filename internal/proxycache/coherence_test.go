package proxycache

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"walpurge/internal/coherence"
	"walpurge/internal/proxycache/fill"
)

func TestRowChangeEndsExactlyTheResponsesThatDependOnIt(t *testing.T) {
	r := newRig(t, nil)
	r.say("one")
	pages := []string{
		"/api/listings/1", "/api/listings/2", "/api/listings?city=Lagos", "/api/listings?city=Accra",
		"/api/listings?city=Lagos&min_price=500", "/api/listings",
	}
	for _, page := range pages {
		r.want(r.get(page), "one", "walpurge; fwd=uri-miss; fwd-status=200; stored")
		r.want(r.get(page), "one", "walpurge; hit; ttl=")
	}
	r.say("two")
	r.commit(&row{"1", "Lagos", "100"}, &row{"1", "Lagos", "120"})
	changed := map[string]bool{pages[0]: true, pages[2]: true, pages[5]: true}
	for _, page := range pages {
		if changed[page] {
			r.want(r.get(page), "two", "walpurge; fwd=uri-miss")
		} else {
			r.want(r.get(page), "one", "walpurge; hit")
		}
	}
}

func TestInsertEndsCached404(t *testing.T) {
	r := newRig(t, nil)
	r.answer(http.NotFound)
	if got := r.get("/api/listings/9"); got.StatusCode != 404 {
		t.Fatal(got.Status)
	}
	if got := r.get("/api/listings/9"); got.StatusCode != 404 || !strings.HasPrefix(got.cacheStatus(), "walpurge; hit") {
		t.Fatal(got.Status, got.cacheStatus())
	}
	r.say("there")
	r.commit(nil, &row{"9", "Lagos", "1"})
	r.want(r.get("/api/listings/9"), "there", "walpurge; fwd=uri-miss")
}

// A fill that read the old row and ends after the change was applied is
// served and not kept.
func TestSlowFillOfOldRowIsServedAndNotKept(t *testing.T) {
	r := newRig(t, nil)
	reached, release := make(chan struct{}), make(chan struct{})
	r.answer(func(w http.ResponseWriter, _ *http.Request) {
		close(reached)
		<-release
		_, _ = io.WriteString(w, "old")
	})
	first := make(chan reply, 1)
	go func() { first <- r.get("/api/listings/1") }()
	<-reached
	r.commit(&row{"1", "Lagos", "1"}, &row{"1", "Lagos", "2"})
	close(release)
	r.want(<-first, "old", "walpurge; fwd=uri-miss; fwd-status=200; detail=change")
	r.say("new")
	r.want(r.get("/api/listings/1"), "new", "walpurge; fwd=uri-miss; fwd-status=200; stored")
	r.want(r.get("/api/listings/1"), "new", "walpurge; hit")
}

// A fill that a change touches while its body is on its way isn't kept either.
func TestChangeWhileBodyArrivesIsNotKept(t *testing.T) {
	r := newRig(t, nil)
	half, release := make(chan struct{}), make(chan struct{})
	r.answer(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "old")
		w.(http.Flusher).Flush()
		close(half)
		<-release
		_, _ = io.WriteString(w, " row")
	})
	first := make(chan reply, 1)
	go func() { first <- r.get("/api/listings/1") }()
	<-half
	r.eventually("the head is judged", func() bool { return r.arriving() })
	r.commit(&row{"1", "Lagos", "1"}, &row{"1", "Lagos", "2"})
	close(release)
	if got := <-first; got.body != "old row" {
		t.Fatal(got.body)
	}
	r.say("new")
	r.want(r.get("/api/listings/1"), "new", "walpurge; fwd=uri-miss")
}

func (r *rig) arriving() bool {
	f := r.proxy.fills.Flights.Any()
	if f == nil {
		return false
	}
	s, _ := f.Look()
	return s.Stage == fill.Arriving
}

// While a commit is decoded and not yet visible, readers may get the old row,
// and nothing of it stays.
func TestHeldCommitIsNotCached(t *testing.T) {
	r := newRig(t, nil)
	r.say("old")
	r.get("/api/listings/1")
	r.decode(&row{"1", "Lagos", "1"}, &row{"1", "Lagos", "2"})
	for range 3 {
		r.want(r.get("/api/listings/1"), "old", "walpurge; fwd=uri-miss; fwd-status=200; detail=pending")
	}
	r.want(r.get("/api/listings/2"), "old", "walpurge; fwd=uri-miss; fwd-status=200; stored")
	r.settle()
	r.say("new")
	r.want(r.get("/api/listings/1"), "new", "walpurge; fwd=uri-miss; fwd-status=200; stored")
	r.want(r.get("/api/listings/1"), "new", "walpurge; hit")
	r.want(r.get("/api/listings/2"), "old", "walpurge; hit")
}

func TestNewEpochEndsEverythingWithDependencies(t *testing.T) {
	r := newRig(t, nil)
	r.say("one", "Cache-Control: max-age=60")
	r.get("/api/listings/1")
	r.get("/plain/a")
	r.guard.Reset(8, 5000)
	r.say("two", "Cache-Control: max-age=60")
	r.want(r.get("/api/listings/1"), "two", "walpurge; fwd=bypass; fwd-status=200; detail=unproven")
	r.want(r.get("/plain/a"), "one", "walpurge; hit")
	r.prove()
	r.want(r.get("/api/listings/1"), "two", "walpurge; fwd=uri-miss; fwd-status=200; stored")
	r.want(r.get("/api/listings/1"), "two", "walpurge; hit")
}

func TestUnprovenIsNotServed(t *testing.T) {
	r := newRig(t, func(_ *rig, o *Options) {
		for i := range o.Routes {
			o.Routes[i].MaxLag = time.Second
		}
	})
	r.say("one")
	r.get("/api/listings/1")
	r.want(r.get("/api/listings/1"), "one", "walpurge; hit")
	r.now.Add(int64(1100 * time.Millisecond))
	r.say("two")
	r.want(r.get("/api/listings/1"), "two", "walpurge; fwd=bypass; fwd-status=200; detail=unproven")
	// What was stored before is still what the rows say once that is proven.
	r.prove()
	r.want(r.get("/api/listings/1"), "one", "walpurge; hit")
}

// R7: who arrives after a change doesn't join a flight that left before it.
func TestReaderAfterChangeDoesNotJoinOlderFlight(t *testing.T) {
	r := newRig(t, nil)
	reached, release := make(chan struct{}, 2), make(chan struct{})
	n := 0
	var mu sync.Mutex
	r.answer(func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		n++
		body := fmt.Sprint("answer ", n)
		mu.Unlock()
		reached <- struct{}{}
		if body == "answer 1" {
			<-release
		}
		_, _ = io.WriteString(w, body)
	})
	first := make(chan reply, 1)
	go func() { first <- r.get("/api/listings/1") }()
	<-reached
	r.commit(&row{"1", "Lagos", "1"}, &row{"1", "Lagos", "2"})
	r.want(r.get("/api/listings/1"), "answer 2", "walpurge; fwd=uri-miss; fwd-status=200; stored")
	close(release)
	r.want(<-first, "answer 1", "walpurge; fwd=uri-miss")
	r.want(r.get("/api/listings/1"), "answer 2", "walpurge; hit")
}

func TestStrictRouteNeedsProofOfItsArrival(t *testing.T) {
	proofs := 0
	r := newRig(t, func(r *rig, o *Options) {
		o.Routes[0].Strict = true
	})
	r.say("one")
	r.want(r.get("/api/listings/1"), "one", "walpurge; fwd=bypass; fwd-status=200; detail=strict")
	r.proxy.opt.Prove = func(_ context.Context, since coherence.Nanos) error {
		proofs++
		r.guard.Probe(r.guard.Applied(), since)
		return nil
	}
	r.want(r.get("/api/listings/1"), "one", "walpurge; fwd=uri-miss; fwd-status=200; stored")
	r.want(r.get("/api/listings/1"), "one", "walpurge; hit")
	if proofs != 2 {
		t.Fatalf("%d proofs for 2 requests", proofs)
	}
	// Nobody's word is taken for it: the guard must have the proof.
	r.proxy.opt.Prove = func(context.Context, coherence.Nanos) error { return nil }
	r.now.Add(int64(time.Second))
	r.want(r.get("/api/listings/1"), "one", "walpurge; fwd=bypass; fwd-status=200; detail=strict")
}

package proxycache

import (
	"strings"
	"testing"
	"time"

	"walpurge/internal/expr"
	"walpurge/internal/proxycache/depends"
	"walpurge/internal/proxycache/route"
)

// learningRig has routes of which nobody knows before the response what it depends on.
func learningRig(t *testing.T) *rig {
	t.Helper()
	return liveRig(t, func(o *Options) {
		late := o.Routes[0]
		late.Pattern = "/late"
		late.Depends = append([]depends.Dependency(nil), late.Depends...)
		late.Depends[0].Equal = [][]expr.Expr{{{Source: expr.Body, Steps: []expr.Step{{Kind: expr.Member, Name: "ids"}, {Kind: expr.Elements}}}}}
		o.Routes = append(o.Routes, late, route.Declaration{Pattern: "/said", Declared: true, MaxLag: time.Hour})
	})
}

// quietUntil changes what ends the page and fails unless that is the one thing that the page hears of.
func (f *listening) quietUntil(r *rig, change func()) {
	f.t.Helper()
	told := metricValue(f.t, r, "walpurge_live_events_total")
	change()
	if got := f.next(); got != purgedEvent {
		f.t.Fatalf("heard %q", got)
	}
	if n := metricValue(f.t, r, "walpurge_live_events_total") - told; n != 1 {
		f.t.Fatalf("told %v times", n)
	}
}

// keep fetches a page and waits until it is stored.
func (r *rig) keep(path string) {
	r.t.Helper()
	r.eventually(path+" is stored", func() bool { return strings.HasPrefix(r.get(path).cacheStatus(), "walpurge; hit") })
}

// renewed waits until every page that listens has drawn its conclusion from what has touched its watch.
func (r *rig) renewed(handles int) {
	r.t.Helper()
	r.eventually("the pages watch again", func() bool { return r.guard.Handles() == handles })
}

// TestFeedLearnsFromTheStoredResponse: what the response names, in its head or its body, is what the page
// hears of; other rows neither while it is stored nor after it was fetched anew.
func TestFeedLearnsFromTheStoredResponse(t *testing.T) {
	for _, c := range []struct{ path, body, field string }{
		{"/said", "x", "Depends-On: listings;id=5, listings;id=6"},
		{"/late", `{"ids": [5, 6]}`, "X: y"},
		{"/api/listings?city=Lagos", "x", "Depends-On: listings;id=5, listings;id=6"}, // beside the route's own
		{"/api/listings?city=Lagos", "x", `Cache-Groups: "g"`},
	} {
		t.Run(c.path, func(t *testing.T) {
			r := learningRig(t)
			r.say(c.body, c.field)
			r.keep(c.path)
			f := r.feed(t, c.path)
			for range 3 {
				r.commit(nil, &row{"1", "Quito", "1"}) // nobody's
				r.renewed(2)
				r.want(r.get(c.path), c.body, "walpurge; hit")
				f.quietUntil(r, func() {
					if c.field[0] == 'C' {
						r.purge("g")
						return
					}
					r.commit(&row{"6", "Quito", "1"}, &row{"6", "Quito", "2"})
				})
				r.keep(c.path) // as a page does that was told
			}
		})
	}
}

// TestFeedOfWhatIsNotStored: as long as nobody knows what the page depends on, it hears of everything that may
// be meant; the next change after it was stored finds out.
func TestFeedOfWhatIsNotStored(t *testing.T) {
	r := learningRig(t)
	r.say("x", "Depends-On: listings;id=5")
	f := r.feed(t, "/said")
	f.quietUntil(r, func() { r.commit(nil, &row{"1", "Quito", "1"}) })
	f.quietUntil(r, func() { r.purge("anybody") })
	r.keep("/said")
	r.commit(nil, &row{"2", "Quito", "1"})
	r.renewed(2)
	f.quietUntil(r, func() { r.commit(nil, &row{"5", "Quito", "1"}) })
}

// TestFeedHearsThatResponsesNameMore: who has trusted in the declaration is told once, and watches from then on
// what the response names beside it.
func TestFeedHearsThatResponsesNameMore(t *testing.T) {
	r := learningRig(t)
	const page = "/api/listings?city=Lagos"
	f := r.feed(t, page)
	r.say("x", "Depends-On: listings;id=5")
	f.quietUntil(r, func() { r.get(page) })
	f.quietUntil(r, func() { r.commit(&row{"5", "Quito", "1"}, &row{"5", "Quito", "2"}) })
}

// TestFeedOfVariants: the page's variant is found by the fields that a feed's request shares with a page's.
func TestFeedOfVariants(t *testing.T) {
	for _, c := range []struct {
		vary string
		told float64 // events of a commit that touches nobody
	}{{"Accept-Language", 0}, {"Accept", 1}} {
		r := learningRig(t)
		r.say("x", "Depends-On: listings;id=5", "Vary: "+c.vary)
		r.keep("/said")
		f := r.feed(t, "/said")
		r.commit(nil, &row{"1", "Quito", "1"})
		r.renewed(2)
		if c.told > 0 {
			if got := f.next(); got != purgedEvent {
				t.Errorf("%s: heard %q", c.vary, got)
			}
			continue
		}
		f.quietUntil(r, func() { r.commit(nil, &row{"5", "Quito", "1"}) })
	}
}

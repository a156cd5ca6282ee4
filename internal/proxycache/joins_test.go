package proxycache

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"walpurge/internal/coherence"
	"walpurge/internal/expr"
	"walpurge/internal/proxycache/depends"
	"walpurge/internal/proxycache/route"
)

// joined adds a route whose responses name the listings in them, and one whose
// responses must say what they depend on.
func joined(_ *rig, o *Options) {
	o.Routes = append(o.Routes, route.Declaration{
		Pattern: "/joined", MaxLag: time.Hour,
		Depends: []depends.Dependency{{
			Template: coherence.Template{Equal: []coherence.Equal{{Column: 0}}},
			Equal:    [][]expr.Expr{{{Source: expr.Body, Steps: []expr.Step{{Name: "items"}, {Kind: expr.Elements}, {Name: "id"}}}}},
		}},
	}, route.Declaration{Pattern: "/declared", MaxLag: time.Hour, Declared: true})
	for i := range o.Routes {
		for j := range o.Routes[i].Depends {
			o.Guard.Use(&o.Routes[i].Depends[j].Template)
		}
	}
	o.Guard.Use(&coherence.Template{Equal: []coherence.Equal{{Column: 0}, {Column: 1}}})
}

func items(ids ...string) string {
	for i, id := range ids {
		ids[i] = `{"id":` + id + `}`
	}
	return `{"items":[` + strings.Join(ids, ",") + `]}`
}

func manyItems(n int) string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprint(i + 1)
	}
	return items(ids...)
}

func TestBodyAndHeaderNameTheRows(t *testing.T) {
	for _, c := range []struct {
		name, path, body string
		fields           []string
		ends, stays      row // changes of these rows
	}{
		{"body", "/joined", items("1", `"7"`, "null"), nil, row{id: "7"}, row{id: "2"}},
		{"nothing in the body", "/joined", items(), nil, row{}, row{id: "2"}},
		{"many in the body", "/joined", manyItems(100), nil, row{id: "100"}, row{id: "101"}},
		{"more than are compared", "/joined", manyItems(depends.MaxBodyValues + 1), nil, row{id: "0"}, row{}},
		{"another form", "/joined", `{"items":[{"ID":1}]}`, nil, row{id: "2"}, row{}},
		{"no JSON", "/joined", `<p>1</p>`, nil, row{id: "2"}, row{}},
		{"header", "/declared", "x", []string{"Depends-On: listings;id=1, listings;id=7"}, row{id: "7"}, row{id: "2"}},
		{"header with two conditions", "/declared", "x", []string{`Depends-On: listings;id=1;city="Lagos"`}, row{id: "1", city: "Lagos"}, row{id: "1", city: "Kano"}},
		{"header with a schema", "/declared", "x", []string{`Depends-On: "public.listings";id=1`}, row{id: "1"}, row{id: "2"}},
		{"header with an unknown column", "/declared", "x", []string{`Depends-On: listings;colour=red`}, row{id: "2"}, row{}},
		{"header over several lines", "/declared", "x", []string{"Depends-On: listings;id=1", "Depends-On: listings;id=7"}, row{id: "7"}, row{id: "2"}},
		{"header beside a route's own", "/api/listings/1", "x", []string{"Depends-On: listings;id=7"}, row{id: "7"}, row{id: "2"}},
		{"a route's own beside the header", "/api/listings/1", "x", []string{"Depends-On: listings;id=7"}, row{id: "1"}, row{id: "2"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, joined)
			r.say(c.body, c.fields...)
			r.get(c.path)
			r.want(r.get(c.path), c.body, "walpurge; hit")
			if c.stays != (row{}) {
				r.commit(&c.stays, &c.stays)
				r.want(r.get(c.path), c.body, "walpurge; hit")
			}
			if c.ends != (row{}) {
				r.commit(&c.ends, &c.ends)
				r.want(r.get(c.path), c.body, "walpurge; fwd=uri-miss")
			}
		})
	}
}

func TestWhatIsNotDeclaredIsNotKept(t *testing.T) {
	for _, c := range []struct{ path, field string }{
		{"/declared", "X-Other: 1"},
		{"/declared", "Depends-On: prices;id=1"},
		{"/declared", "Depends-On: listings;id="},
		{"/declared", "Depends-On: (listings)"},
		{"/declared", "Depends-On: " + strings.Repeat("listings,", depends.MaxDeclared) + "listings"},
		{"/api/listings/1", "Depends-On: prices;id=1"},
	} {
		r := newRig(t, joined)
		r.say("x", c.field)
		if got := r.get(c.path); !strings.HasSuffix(got.cacheStatus(), "fwd=uri-miss; fwd-status=200; detail=undeclared") {
			t.Errorf("%.60s: %q", c.field, got.cacheStatus())
		}
		if got := r.get(c.path); strings.Contains(got.cacheStatus(), "hit") {
			t.Errorf("%.60s: %q", c.field, got.cacheStatus())
		}
	}
}

// flying is how many fills can be joined.
func (r *rig) flying() int {
	n, _ := r.proxy.fills.Flights.Count()
	return n
}

// joined is how many requests share the fills on their way.
func (r *rig) joined() int {
	_, n := r.proxy.fills.Flights.Count()
	return n
}

// purge applies a purge of a group, as from a message in the log.
func (r *rig) purge(group string) {
	r.xid++
	tx := coherence.NewTransaction(testTables, 1000)
	tx.Begin(r.xid, r.lsn+10, time.Now())
	tx.Group(group)
	tx.Commit(r.lsn + 20)
	r.lsn += 100
	r.guard.Apply(tx)
	r.settle()
}

// A reader that arrives after a change has settled never shares a fill that
// was sent before it, also when only the response tells that it depends on the
// row (R7).
func TestNobodyJoinsAFillThatProvesOvertaken(t *testing.T) {
	for _, c := range []struct {
		name, path, old string
		fields          []string
		change          func(*rig)
	}{
		{"body", "/joined", items("1"), nil, func(r *rig) { r.commit(&row{id: "1"}, &row{id: "1"}) }},
		{"header", "/declared", "old", []string{"Depends-On: listings;id=1"}, func(r *rig) { r.commit(&row{id: "1"}, &row{id: "1"}) }},
		{"group", "/api/listings/9", "old", []string{`Cache-Groups: "news"`}, func(r *rig) { r.purge("news") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, joined)
			g := newGate()
			first := true
			r.answer(func(w http.ResponseWriter, _ *http.Request) {
				old := first
				first = false
				if old && c.fields != nil {
					g.pass() // the head tells
				}
				for _, f := range c.fields {
					name, value, _ := strings.Cut(f, ": ")
					w.Header().Set(name, value)
				}
				if !old {
					_, _ = io.WriteString(w, "new")
					return
				}
				w.Header().Set("Content-Length", strconv.Itoa(len(c.old)))
				_, _ = io.WriteString(w, c.old[:1])
				w.(http.Flusher).Flush()
				if c.fields == nil {
					g.pass() // the body tells
				}
				_, _ = io.WriteString(w, c.old[1:])
			})
			replies := make(chan reply)
			ask := func() { replies <- r.get(c.path) }
			go ask()
			r.eventually("the fill is at the origin", func() bool { return g.arrived.Load() == 1 })
			c.change(r)
			go ask()
			r.eventually("the second has joined", func() bool { return r.joined() == 1 })
			close(g.open)
			bodies := []string{(<-replies).body, (<-replies).body}
			slices.Sort(bodies)
			if want := []string{"new", c.old}; !slices.Equal(bodies, want) && !slices.Equal(bodies, []string{c.old, "new"}) {
				t.Errorf("%q, want one of each of %q", bodies, want)
			}
			r.prove()
			if got := r.get(c.path); got.body != "new" {
				t.Errorf("%q %q", got.body, got.cacheStatus())
			}
		})
	}
}

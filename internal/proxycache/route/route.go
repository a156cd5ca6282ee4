// Package route is what is declared: which route a path is of, what tells a
// request's responses apart (its key), and what of a request may reach the
// origin then. Asked is a request read so. It knows package depends for what
// responses are computed from, and outcome for the counters that each route
// carries; nothing of what is stored.
package route

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"walpurge/internal/coherence"
	"walpurge/internal/expr"
	"walpurge/internal/proxycache/depends"
	"walpurge/internal/proxycache/outcome"
)

// Declaration says how the responses for one path pattern are cached and which rows
// they are computed from.
type Declaration struct {
	// Pattern is a path such as /api/listings/{id}: literal segments,
	// percent-decoded when compared, {name} for one segment that isn't empty,
	// {name...} for all that follow, at least one.
	Pattern string
	Depends []depends.Dependency // empty: nothing but age ends a response

	// Declared says that each response names what it depends on, beside
	// Depends, in Depends-On. One that doesn't is not kept.
	Declared bool

	TTL    *time.Duration // nil: what the origin says, else an hour if there are dependencies; 0: nothing is kept
	MaxLag time.Duration  // how far behind the primary a hit may be; only with dependencies
	Strict bool           // a hit reflects every commit that had returned before the request arrived

	Query QueryRule
	Vary  []Key // header fields and cookies that tell responses apart, beside those that expressions read

	// ClientKeeps lets clients keep responses with dependencies as the origin
	// says. Else they get no-cache and a strong ETag, and ask each time.
	ClientKeeps bool

	// StaleOnChange is how long a response may still be shown after a row it
	// depends on has changed, while one request fetches the new one. 0: not at
	// all.
	StaleOnChange time.Duration

	// Events makes the route the feed for pages that keep themselves up to
	// date: the proxy answers it, and nothing else about it counts.
	Events bool

	StaleWhileRevalidate *time.Duration // nil: what the origin says (RFC 5861)
	StaleIfError         *time.Duration // the same
}

// QueryRule says which query parameters tell responses apart. The others are
// dropped before the origin sees them. The zero value keeps the query as sent.
type QueryRule struct {
	Only  bool     // true: those in Names count and are sorted; false: all but those in Names
	Sort  bool     // those that count are sorted in any case
	Names []string // case-sensitive
}

// Key is a request header field or a cookie.
type Key struct {
	Source expr.Source // Header or Cookie
	Name   string
}

// Route is a Declaration made ready for requests.
type Route struct {
	Declaration
	Label    string           // in logs and metrics
	Params   []string         // the names of the pattern's parameters
	Keys     []Key            // what is in the key beside the URL
	Guarded  bool             // its responses have dependencies
	Late     bool             // some dependency is known only with the whole response
	Names    atomic.Bool      // some response has named dependencies of its own
	Told     sync.Map         // why responses can't be kept, as far as the log says it
	Counters outcome.Counters // of its requests, by how they ended
}

// maxParams bounds the parameters of one pattern, so that matching needs no
// memory of its own.
const maxParams = 16

// New makes a declaration ready. guard is nil without PostgreSQL; the error says
// what can't be declared so.
func New(r Declaration, guard *coherence.Guard) (*Route, error) {
	rt := &Route{Declaration: r, Label: r.Pattern, Guarded: len(r.Depends) > 0 || r.Declared}
	if rt.StaleOnChange > 0 && (!rt.Guarded || rt.Strict) {
		return nil, errors.New("serving stale responses after a change needs dependencies, and is no strict consistency")
	}
	if rt.Guarded && guard == nil {
		return nil, errors.New("depends_on needs a connection to PostgreSQL; configure postgres.url")
	}
	if r.Events && guard == nil {
		return nil, errors.New("events needs a connection to PostgreSQL; configure postgres.url")
	}
	for _, k := range r.Vary {
		if k.Source != expr.Header && k.Source != expr.Cookie {
			return nil, fmt.Errorf("vary on %s.%s: only header fields and cookies can be named", k.Source, k.Name)
		}
		rt.addKey(k)
	}
	rt.Late = depends.Set(r.Depends).Late()
	for i := range r.Depends {
		d := &r.Depends[i]
		if len(d.Equal) != len(d.Template.Equal) || len(d.Ranges) != len(d.Template.Ranges) {
			return nil, errors.New("a dependency's values don't fit its conditions")
		}
		for _, any := range d.Equal {
			for j := range any {
				rt.addExpr(&any[j])
			}
		}
		for _, r := range d.Ranges {
			rt.addExpr(r.From)
			rt.addExpr(r.To)
		}
	}
	return rt, nil
}

// addExpr puts what an expression reads beside the URL into the key (C5).
func (rt *Route) addExpr(e *expr.Expr) {
	if e != nil && (e.Source == expr.Header || e.Source == expr.Cookie) {
		rt.addKey(Key{e.Source, e.Name})
	}
}

func (rt *Route) addKey(k Key) {
	if k.Source == expr.Header {
		k.Name = strings.ToLower(k.Name)
	}
	if !slices.Contains(rt.Keys, k) {
		rt.Keys = append(rt.Keys, k)
	}
}

// Bind gives the route's dependencies the values of a request; BindLate those
// that read the response's body.
func (rt *Route) Bind(g *coherence.Guard, s *depends.Subject) []coherence.Dependency {
	return depends.Set(rt.Depends).Bind(g, s)
}

// BindLate gives the dependencies that read the response's body their values.
func (rt *Route) BindLate(g *coherence.Guard, s *depends.Subject) []coherence.Dependency {
	return depends.Set(rt.Depends).BindLate(g, s)
}

// Proves tells whether a proof of freshness of that instant is young enough at
// now for the route's cached responses (G2).
func (rt *Route) Proves(now, proven coherence.Nanos) bool {
	return proven != 0 && now-proven <= coherence.Nanos(rt.MaxLag)
}

// Revalidate tells whether clients may keep the route's responses only if they
// ask each time: their own cache hears of no change.
func (rt *Route) Revalidate() bool { return rt != nil && rt.Guarded && !rt.ClientKeeps }

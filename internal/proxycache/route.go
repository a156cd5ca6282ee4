package proxycache

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"walpurge/internal/coherence"
	"walpurge/internal/http1"
	"walpurge/internal/proxycache/depends"
	"walpurge/internal/proxycache/outcome"
)

// Route says how the responses for one path pattern are cached and which rows
// they are computed from.
type Route struct {
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
	StaleIfError         *time.Duration
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
	Source depends.Source // Header or Cookie
	Name   string
}

// route is a Route made ready for requests.
type route struct {
	Route
	label    string
	params   []string
	keys     []Key
	guarded  bool
	late     bool        // some dependency is known only with the whole response
	names    atomic.Bool // some response has named dependencies of its own
	told     sync.Map    // why responses can't be kept, as far as the log says it
	counters outcome.Counters
}

// maxParams bounds the parameters of one pattern, so that matching needs no
// memory of its own.
const maxParams = 16

func newRoute(r Route, guard *coherence.Guard) (*route, error) {
	rt := &route{Route: r, label: r.Pattern, guarded: len(r.Depends) > 0 || r.Declared}
	if rt.StaleOnChange > 0 && (!rt.guarded || rt.Strict) {
		return nil, errors.New("serving stale responses after a change needs dependencies, and is no strict consistency")
	}
	if rt.guarded && guard == nil {
		return nil, errors.New("depends_on needs a connection to PostgreSQL; configure postgres.url")
	}
	if r.Events && guard == nil {
		return nil, errors.New("events needs a connection to PostgreSQL; configure postgres.url")
	}
	for _, k := range r.Vary {
		if k.Source != depends.Header && k.Source != depends.Cookie {
			return nil, fmt.Errorf("vary on %s.%s: only header fields and cookies can be named", k.Source, k.Name)
		}
		rt.addKey(k)
	}
	rt.late = depends.Set(r.Depends).Late()
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
func (rt *route) addExpr(e *depends.Expr) {
	if e != nil && (e.Source == depends.Header || e.Source == depends.Cookie) {
		rt.addKey(Key{e.Source, e.Name})
	}
}

func (rt *route) addKey(k Key) {
	if k.Source == depends.Header {
		k.Name = strings.ToLower(k.Name)
	}
	if !slices.Contains(rt.keys, k) {
		rt.keys = append(rt.keys, k)
	}
}

// bind gives the route's dependencies the values of a request; BindLate those
// that read the response's body.
func (rt *route) bind(g *coherence.Guard, s *depends.Subject) []coherence.Dependency {
	return depends.Set(rt.Depends).Bind(g, s)
}

func (rt *route) bindLate(g *coherence.Guard, s *depends.Subject) []coherence.Dependency {
	return depends.Set(rt.Depends).BindLate(g, s)
}

// router finds the most specific route of a path: segment by segment a
// literal before a parameter before the rest.
type router struct{ root *segment }

type segment struct {
	literals map[string]*segment
	param    *segment
	rest     *route
	end      *route // the pattern ends here
}

func (t *router) add(rt *route) error {
	if t.root == nil {
		t.root = &segment{}
	}
	if !strings.HasPrefix(rt.Pattern, "/") {
		return errors.New("a path begins with a slash")
	}
	at := t.root
	parts := strings.Split(rt.Pattern[1:], "/")
	for i, part := range parts {
		name, isParam := strings.CutPrefix(part, "{")
		if !isParam {
			text, ok := http1.Unescape([]byte(part), false)
			if !ok {
				return fmt.Errorf("the segment %q is not percent-encoded correctly", part)
			}
			if at.literals == nil {
				at.literals = make(map[string]*segment)
			}
			if at.literals[text] == nil {
				at.literals[text] = &segment{}
			}
			at = at.literals[text]
			continue
		}
		name = strings.TrimSuffix(name, "}")
		name, isRest := strings.CutSuffix(name, "...")
		rt.params = append(rt.params, name)
		if len(rt.params) > maxParams {
			return fmt.Errorf("the path has more than %d parameters", maxParams)
		}
		if isRest {
			if i != len(parts)-1 {
				return fmt.Errorf("{%s...} takes the rest of the path; it can only be the last segment", name)
			}
			if at.rest != nil {
				return fmt.Errorf("the routes %s and %s match the same paths", at.rest.Pattern, rt.Pattern)
			}
			at.rest = rt
			return nil
		}
		if at.param == nil {
			at.param = &segment{}
		}
		at = at.param
	}
	if at.end != nil {
		return fmt.Errorf("the routes %s and %s match the same paths", at.end.Pattern, rt.Pattern)
	}
	at.end = rt
	return nil
}

// replace puts another route of the same pattern in the place of rt.
func (t *router) replace(rt, by *route) { t.root.replace(rt, by) }

func (s *segment) replace(rt, by *route) {
	if s == nil {
		return
	}
	if s.end == rt {
		s.end = by
	}
	if s.rest == rt {
		s.rest = by
	}
	s.param.replace(rt, by)
	for _, next := range s.literals {
		next.replace(rt, by)
	}
}

// places collects where the parameters of a match stand.
type places struct {
	at [maxParams]depends.Span
	n  int
}

// match finds the route of a path that CleanPath has approved.
func (t *router) match(path []byte, found *places) *route {
	found.n = 0
	if t.root == nil {
		return nil
	}
	return t.root.match(path, 1, found)
}

// match matches what follows the slash before from.
func (s *segment) match(path []byte, from int, found *places) *route {
	to := from
	escaped := false
	for to < len(path) && path[to] != '/' {
		escaped = escaped || path[to] == '%'
		to++
	}
	if s.literals != nil {
		next := s.literals[string(path[from:to])]
		if escaped {
			text, _ := http1.Unescape(path[from:to], false)
			next = s.literals[text]
		}
		if next != nil {
			if rt := next.after(path, to, found); rt != nil {
				return rt
			}
		}
	}
	if s.param != nil && to > from && found.n < maxParams {
		found.at[found.n] = depends.Span{From: from, To: to}
		found.n++
		if rt := s.param.after(path, to, found); rt != nil {
			return rt
		}
		found.n--
	}
	if s.rest != nil && found.n < maxParams {
		found.at[found.n] = depends.Span{From: from, To: len(path)}
		found.n++
		return s.rest
	}
	return nil
}

func (s *segment) after(path []byte, to int, found *places) *route {
	if to == len(path) {
		return s.end
	}
	return s.match(path, to+1, found)
}

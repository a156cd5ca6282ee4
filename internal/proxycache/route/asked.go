package route

import (
	"walpurge/internal/http1"
	"walpurge/internal/proxycache/depends"
)

// Asked is what a request asks for as the cache reads it: the route that it is
// for, and what its key is made of. [Table.Read] alone makes one.
type Asked struct {
	Table *Table // the routes that it was read with
	Route *Route // plain without a declared one

	Path, Query []byte // of the target as sent, parts of it
	hasQuery    bool   // there is a query, be it empty
	places      places // of the route's parameters in path

	// Clean tells that servers agree on what the path is; one that they may read
	// differently matches no route. Where no route is declared nobody asks.
	Clean bool
}

// Read reads a target, which SplitTarget has cut.
func (t *Table) Read(a *Asked, path, query []byte, hasQuery bool) {
	a.Table, a.Route = t, t.Plain
	a.Path, a.Query, a.hasQuery = path, query, hasQuery
	if len(t.Routes) == 0 {
		a.Clean = true
		return
	}
	if a.Clean = http1.CleanPath(path); !a.Clean {
		return
	}
	if m := t.router.match(path, &a.places); m != nil {
		a.Route = m
	}
}

// AppendKey appends the key of the request, of which the fields are req's.
// https and host are what the client has asked for, host only where a trusted
// proxy has changed it. target is where in the key the target lies as the
// origin gets it.
func (a *Asked) AppendKey(dst []byte, https bool, req *http1.Request, host []byte) (key []byte, target depends.Span) {
	return AppendKey(dst, https, req, host, a.Route, a.Path, a.Query, a.hasQuery)
}

// Subject is what the route's expressions read of the request, with the target
// as the origin gets it.
func (a *Asked) Subject(req *http1.Request, target string) *depends.Subject {
	s := &depends.Subject{Request: req, Path: a.Path, Params: a.Route.Params, Places: a.places.at[:a.places.n]}
	if i := len(a.Path); i < len(target) && target[i] == '?' {
		s.Query = []byte(target[i+1:])
	}
	return s
}

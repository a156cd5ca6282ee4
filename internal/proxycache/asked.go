package proxycache

import (
	"walpurge/internal/http1"
	"walpurge/internal/proxycache/depends"
)

// Asked is what a request asks for as the cache reads it: the route that it is
// for, and what its key is made of. [routing.read] alone makes one.
type Asked struct {
	routing *routing // the routes that it was read with
	route   *route   // plain without a declared one

	path, query []byte // of the target as sent, parts of it
	hasQuery    bool   // there is a query, be it empty
	places      places // of the route's parameters in path

	// clean tells that servers agree on what the path is; one that they may read
	// differently matches no route. Where no route is declared nobody asks.
	clean bool
}

// read reads a target, which SplitTarget has cut.
func (t *routing) read(a *Asked, path, query []byte, hasQuery bool) {
	a.routing, a.route = t, t.plain
	a.path, a.query, a.hasQuery = path, query, hasQuery
	if len(t.routes) == 0 {
		a.clean = true
		return
	}
	if a.clean = http1.CleanPath(path); !a.clean {
		return
	}
	if m := t.router.match(path, &a.places); m != nil {
		a.route = m
	}
}

// appendKey appends the key of the request, of which the fields are req's.
// https and host are what the client has asked for, host only where a trusted
// proxy has changed it. target is where in the key the target lies as the
// origin gets it.
func (a *Asked) appendKey(dst []byte, https bool, req *http1.Request, host []byte) (key []byte, target depends.Span) {
	return appendKey(dst, https, req, host, a.route, a.path, a.query, a.hasQuery)
}

// subject is what the route's expressions read of the request, with the target
// as the origin gets it.
func (a *Asked) subject(req *http1.Request, target string) *depends.Subject {
	s := &depends.Subject{Request: req, Path: a.path, Params: a.route.params, Places: a.places.at[:a.places.n]}
	if i := len(a.path); i < len(target) && target[i] == '?' {
		s.Query = []byte(target[i+1:])
	}
	return s
}

package fill

import (
	"walpurge/internal/coherence"
	"walpurge/internal/http1"
	"walpurge/internal/proxycache/depends"
	"walpurge/internal/proxycache/redistier"
	"walpurge/internal/proxycache/route"
	"walpurge/internal/proxycache/store"
	"walpurge/internal/rfc9111"
)

// FromRedis is what the Redis tier has for a request with that key, of which
// target is as the origin gets it, and the time that was looked at; nil: nothing
// that may be served. It is
// used only if the guard says so (R3), and goes into the memory tier if that
// has room for it or it comes again.
func (t *Fills) FromRedis(key string, a *route.Asked, req *http1.Request, target string) (e *store.Entry, now coherence.Nanos) {
	s, first := t.redis.Get(key)
	if s != nil && s.Names != nil {
		s, first = t.redis.Get(string(rfc9111.AppendVariant([]byte(key), s.Names, req)))
	}
	if s == nil || s.Names != nil || s.Guarded != a.Route.Guarded {
		return nil, 0
	}
	now = t.now()
	e = s.Entry(t.memory, a.Route, now)
	if !e.Common() { // another version's
		return nil, 0
	}
	if e.Fresh <= now {
		return nil, 0
	}
	keep := t.memory.Worth(e.Key(), first)
	if e.Guarded && !t.vouched(e, s, a.Subject(req, target), now, keep) {
		return nil, 0
	}
	if keep {
		t.store(key, e)
	}
	return e, now
}

// vouched tells whether e, which s was, may be served. If it is to be kept its
// handle is open then.
func (t *Fills) vouched(e *store.Entry, s *redistier.Record, of *depends.Subject, now coherence.Nanos, keep bool) bool {
	proven := t.guard.Proven() // C1
	if !e.Route.Proves(now, proven) {
		return false
	}
	deps, ok := t.storedDeps(e, s, of)
	if ok && keep {
		ok = t.guard.OpenStored(&e.Handle, e, deps, s.Epoch, s.Asof)
	} else if ok {
		ok = t.guard.Current(deps, s.Epoch, s.Asof)
	}
	if !ok {
		t.redis.Count("get", "stale")
	}
	return ok
}

// storedDeps are the dependencies of a response from the Redis tier: those of
// its route, and those that it declares itself.
func (t *Fills) storedDeps(e *store.Entry, s *redistier.Record, of *depends.Subject) (deps []coherence.Dependency, ok bool) {
	rt := e.Route
	deps = rt.Bind(t.guard, of)
	if !rt.Late && !rt.Declared && !s.Declares {
		return deps, true // the commonest case
	}
	h := e.Header()
	said, ok := t.declared(rt, h)
	deps = append(deps, said...)
	if rt.Late {
		of.Body = depends.ReadDocument(h, e.Body)
		deps = append(deps, rt.BindLate(t.guard, of)...)
	}
	return deps, ok
}

package proxycache

import (
	"context"
	"net/http"
	"strings"
	"sync"

	"walpurge/internal/coherence"
	"walpurge/internal/rfc9111"
)

// groupIndex finds the responses of a group (RFC 9875) among those without
// dependencies. Those with dependencies are found by the guard, and their
// groups end by messages in the log.
type groupIndex struct {
	mu      sync.Mutex
	members map[string]map[*entry]struct{}
	ended   map[string]coherence.Nanos // when a group was last ended, of those ended lately
	floor   coherence.Nanos            // all others may have been ended until then
}

// maxEnded bounds how many ended groups are remembered. A fill that began
// before one that is forgotten is not kept.
const maxEnded = 4096

// groupsOf are the groups of a response with that key: a name means something
// only within its origin.
func groupsOf(key string, values []string) []string {
	names := rfc9111.GroupNames(values)
	for i, name := range names {
		names[i] = originOf(key) + "\n" + name
	}
	return names
}

// originOf is the scheme and host of a key.
func originOf(key string) string {
	if at := strings.Index(key, "://"); at >= 0 {
		if end := strings.IndexByte(key[at+3:], '/'); end >= 0 {
			return key[:at+3+end]
		}
	}
	return key
}

// add enters e, which was asked for at since. It returns false if one of its
// groups has been ended after that.
func (g *groupIndex) add(e *entry, since coherence.Nanos) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if since < g.floor {
		return false
	}
	for _, name := range e.groups() {
		if at, ok := g.ended[name]; ok && at >= since {
			return false
		}
	}
	if g.members == nil {
		g.members = make(map[string]map[*entry]struct{})
	}
	for _, name := range e.groups() {
		if g.members[name] == nil {
			g.members[name] = make(map[*entry]struct{})
		}
		g.members[name][e] = struct{}{}
	}
	return true
}

// holds tells whether e is still entered.
func (g *groupIndex) holds(e *entry) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	_, ok := g.members[e.groups()[0]][e]
	return ok
}

// remove takes e out.
func (g *groupIndex) remove(e *entry) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, name := range e.groups() {
		delete(g.members[name], e)
		if len(g.members[name]) == 0 {
			delete(g.members, name)
		}
	}
}

// end ends a group and returns what was in it.
func (g *groupIndex) end(name string, now coherence.Nanos) []*entry {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ended == nil || len(g.ended) >= maxEnded {
		if g.ended != nil {
			g.floor = now
		}
		g.ended = make(map[string]coherence.Nanos)
	}
	g.ended[name] = now
	var list []*entry
	for e := range g.members[name] {
		list = append(list, e)
	}
	delete(g.members, name)
	return list
}

// Purger purges groups. It writes a logical message, so that a purge takes
// the same way as every change and reaches every proxy.
type Purger interface {
	Purge(ctx context.Context, groups []string) (coherence.LSN, error)
}

// endGroups ends the groups that the response to a successful unsafe request
// names (RFC 9875 section 3), in this process and, where there is a log, by a
// message in it, which reaches all.
func (x *exchange) endGroups(h http.Header) {
	names := rfc9111.GroupNames(h["Cache-Group-Invalidation"])
	if len(names) == 0 {
		return
	}
	p := x.p
	for _, name := range names {
		for _, e := range p.memory.groups.end(originOf(x.key)+"\n"+name, p.opt.Now()) {
			p.memory.removeEntry(e)
		}
	}
	if p.opt.Purger == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), p.opt.StrictWait)
	defer cancel()
	if _, err := p.opt.Purger.Purge(ctx, names); err != nil {
		p.log.Warn("groups were not ended by a message in the log", "route", x.Route.Label, "error", err)
	}
}

package store

import (
	"strings"
	"sync"

	"walpurge/internal/coherence"
	"walpurge/internal/rfc9111"
)

// groupIndex finds the responses of a group (RFC 9875) among those without
// dependencies. Those with dependencies are found by the guard, and their
// groups end by messages in the log.
type groupIndex struct {
	mu struct {
		sync.Mutex
		members map[string]map[*Entry]struct{}
		ended   map[string]coherence.Nanos // when a group was last ended, of those ended lately
		floor   coherence.Nanos            // all others may have been ended until then
	}
}

// maxEnded bounds how many ended groups are remembered. A fill that began
// before one that is forgotten is not kept.
const maxEnded = 4096

// GroupsOf are the groups of a response with that key: a name means something
// only within its origin.
func GroupsOf(key string, values []string) []string {
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
func (g *groupIndex) add(e *Entry, since coherence.Nanos) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if since < g.mu.floor {
		return false
	}
	for _, name := range e.Groups() {
		if at, ok := g.mu.ended[name]; ok && at >= since {
			return false
		}
	}
	if g.mu.members == nil {
		g.mu.members = make(map[string]map[*Entry]struct{})
	}
	for _, name := range e.Groups() {
		if g.mu.members[name] == nil {
			g.mu.members[name] = make(map[*Entry]struct{})
		}
		g.mu.members[name][e] = struct{}{}
	}
	return true
}

// holds tells whether e is still entered.
func (g *groupIndex) holds(e *Entry) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	_, ok := g.mu.members[e.Groups()[0]][e]
	return ok
}

// remove takes e out.
func (g *groupIndex) remove(e *Entry) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, name := range e.Groups() {
		delete(g.mu.members[name], e)
		if len(g.mu.members[name]) == 0 {
			delete(g.mu.members, name)
		}
	}
}

// end ends a group and returns what was in it.
func (g *groupIndex) end(name string, now coherence.Nanos) []*Entry {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.mu.ended == nil || len(g.mu.ended) >= maxEnded {
		if g.mu.ended != nil {
			g.mu.floor = now
		}
		g.mu.ended = make(map[string]coherence.Nanos)
	}
	g.mu.ended[name] = now
	var list []*Entry
	for e := range g.mu.members[name] {
		list = append(list, e)
	}
	delete(g.mu.members, name)
	return list
}

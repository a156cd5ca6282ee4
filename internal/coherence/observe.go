package coherence

// Observe registers an onlooker: it is evicted by the next commit that touches
// its dependencies, as a stored response would be, and counts in no Purge. It
// reports false if a commit that isn't known to be visible touches them
// already: a response computed now may be older than that commit (R4).
func (g *Guard) Observe(h *Handle, owner Holder, deps []Dependency) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	h.epoch, h.asof, h.owner = g.epoch, g.watermark, owner
	h.stored, h.onlooker = false, true
	g.link(h, deps) // R3: index first, then check
	h.live.Store(true)
	return g.usable(h)
}

// ObserveAs registers an onlooker with the dependencies of a stored response
// that is live. Where like isn't, it registers nothing and reports false: what
// has touched like may have been anything.
func (g *Guard) ObserveAs(h *Handle, owner Holder, like *Handle) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !like.live.Load() || !like.stored {
		return false
	}
	nodes := like.nodes()
	deps := make([]Dependency, len(nodes))
	for i := range nodes {
		deps[i] = nodes[i].dep
	}
	h.epoch, h.asof, h.owner = like.epoch, like.asof, owner
	h.stored, h.onlooker = false, true
	g.link(h, deps) // under the lock in which like is live: nothing comes between
	h.live.Store(true)
	return true
}

// Anything is the dependency on all that the log tells: any change of any
// watched table, any group.
func (g *Guard) Anything() Dependency { return Dependency{shape: g.anything} }

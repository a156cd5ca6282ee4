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

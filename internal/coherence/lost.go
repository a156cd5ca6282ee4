package coherence

// Lose notes that changes of a table can't be followed any more, for instance
// because it has left the publication: no response that depends on it is
// usable until Regain, whatever the epoch, and a fill that reads it is for the
// one who asked alone. What depends on other tables stays. It returns how many
// stored responses were dropped.
func (g *Guard) Lose(t TableID) int {
	a := &g.scratch
	g.mu.Lock()
	if g.lost[t] {
		g.mu.Unlock()
		return 0
	}
	g.lost[t] = true
	a.evicted = a.evicted[:0]
	a.purge.Evicted, a.purge.Fills = 0, 0
	clear(a.purge.Tables)
	cause := Cause{Reason: "change", Table: g.Tables()[t].Name, LSN: g.applied}
	for _, s := range g.shapes[t] {
		s.lost = true // R3: first, so that nothing is linked and found usable after the sweep
		g.sweep(s, func(*node) bool { return true }, t, cause)
	}
	g.mu.Unlock()
	n := a.purge.Evicted
	for i := range a.evicted {
		a.evicted[i].owner.Evicted(a.evicted[i].cause)
	}
	clear(a.evicted)
	return n
}

// Regain ends what Lose has begun. REQUIRES: a transaction that has the whole
// table has been applied since the table is followed again, so that its fence
// (R1) tells what was read before.
func (g *Guard) Regain(t TableID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.lost[t] = false
	for _, s := range g.shapes[t] {
		s.lost = false
	}
}

// Lost tells whether changes of a table can't be followed.
func (g *Guard) Lost(t TableID) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.lost[t]
}

// readsLost tells whether h depends on a table that is lost. REQUIRES: g.mu held,
// h linked.
func (g *Guard) readsLost(h *Handle) bool {
	nodes := h.nodes()
	for i := range nodes {
		if nodes[i].dep.shape.lost {
			return true
		}
	}
	return false
}

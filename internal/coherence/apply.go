package coherence

// Purge is what applying a transaction evicted.
type Purge struct {
	Evicted int   // stored responses
	Fills   int   // fills on their way, which will not be stored
	Tables  []int // Evicted by TableID: the table that touched a response first
}

// applyScratch is reused from one Apply to the next.
type applyScratch struct {
	old, new row
	known    []uint64
	ok       []bool
	evicted  []eviction
	found    []*node
	purge    Purge
}

// noTable stands for an eviction that no table caused.
const noTable = ^TableID(0)

type eviction struct {
	owner Holder
	cause Cause
}

func (a *applyScratch) init(tables []Table) {
	widest := 1
	for i := range tables {
		widest = max(widest, len(tables[i].Columns)*3)
	}
	a.known, a.ok = make([]uint64, widest), make([]bool, widest)
	a.purge.Tables = make([]int, len(tables))
}

// Apply fences and evicts what tx touches and makes tx pending until Settle
// finds it visible. A transaction that was applied before is skipped, so that
// a slot that was set back does no harm. The result is valid until the next
// call.
func (g *Guard) Apply(tx *Transaction) *Purge {
	a := &g.scratch
	a.evicted = a.evicted[:0]
	a.purge.Evicted, a.purge.Fills = 0, 0
	clear(a.purge.Tables)

	g.mu.Lock()
	if tx.End <= g.applied {
		g.mu.Unlock()
		return &a.purge
	}
	if !tx.Empty() {
		g.touch(tx)
		g.pending = append(g.pending, pendingTransaction{xid: tx.XID, start: tx.Start, end: tx.End})
	}
	g.advance(tx.End)
	g.mu.Unlock()

	for i := range a.evicted {
		a.evicted[i].owner.Evicted(a.evicted[i].cause)
	}
	clear(a.evicted)
	return &a.purge
}

// touch fences every tag of tx with its end (R1), then evicts by the index.
// REQUIRES: g.mu held.
func (g *Guard) touch(tx *Transaction) {
	a, tables := &g.scratch, g.Tables()
	for _, name := range tx.Groups {
		d := g.Group(name)
		g.fences.raise(g.groups, d.sum, tx.End)
		for n := g.groups.first(d.sum); n != nil; {
			n = g.evict(n, noTable, Cause{Reason: "group", LSN: tx.End})
		}
	}
	if tx.everyGroup {
		g.groups.fence = tx.End
		g.sweep(g.groups, func(*node) bool { return true }, noTable, Cause{Reason: "group", LSN: tx.End})
	}
	for _, t := range tx.whole {
		for _, s := range g.shapes[t] {
			g.touchWhole(s, t, tx.End)
		}
	}
	for i := range tx.Changes {
		c := &tx.Changes[i]
		table := &tables[c.Table]
		a.old.reset(table, tx, c.old)
		a.new.reset(table, tx, c.new)
		for _, s := range g.shapes[c.Table] {
			if c.Op == Update && s.counts != 0 && s.counts&c.Changed == 0 {
				continue
			}
			if a.old.exists {
				g.touchRow(s, c.Table, &a.old, tx.End)
			}
			if a.new.exists {
				g.touchRow(s, c.Table, &a.new, tx.End)
			}
		}
	}
	// Last: what is counted by its table has been by now.
	g.anything.fence = tx.End
	for n := g.anything.first(0); n != nil; {
		n = g.evict(n, noTable, Cause{Reason: "change", LSN: tx.End})
	}
}

// touchRow fences and evicts what one version of a row touches in one shape.
func (g *Guard) touchRow(s *shape, t TableID, r *row, end LSN) {
	a := &g.scratch
	sum, v := r.tag(s, a.known, a.ok)
	cause := Cause{Reason: "change", Table: r.table.Name, LSN: end}
	switch v {
	case yes:
		g.fences.raise(s, sum, end)
		for n := s.first(sum); n != nil; {
			n = g.evict(n, t, cause)
		}
		a.found = r.ranged(s, sum, a.found[:0])
		for _, n := range a.found {
			if h := n.handle; h.linked && r.inside(n.dep.more) {
				g.kill(h, t, cause)
			}
		}
		clear(a.found)
	case maybe:
		s.fence = end
		g.sweep(s, func(n *node) bool { return n.dep.agrees(a.known, a.ok) && r.inside(n.dep.more) }, t, cause)
	}
}

// touchWhole fences and evicts every response in s.
func (g *Guard) touchWhole(s *shape, t TableID, end LSN) {
	s.fence = end
	g.sweep(s, func(*node) bool { return true }, t, Cause{Reason: "change", Table: g.Tables()[t].Name, LSN: end})
}

// sweep evicts those of a shape's responses that match. An eviction may
// remove several nodes of the shape, so it collects first.
func (g *Guard) sweep(s *shape, match func(*node) bool, t TableID, cause Cause) {
	var found []*Handle
	for n := range s.all() {
		if match(n) {
			found = append(found, n.handle)
		}
	}
	for _, h := range found {
		if h.linked {
			g.kill(h, t, cause)
		}
	}
}

// evict ends n's handle and returns the node that follows n among those of its
// value and still is in the index.
func (g *Guard) evict(n *node, t TableID, cause Cause) *node {
	h := n.handle
	next := n.next
	for next != nil && next.handle == h {
		next = next.next
	}
	g.kill(h, t, cause)
	return next
}

// kill marks h dead, takes it out of the index and remembers its owner.
// Marking is what stops hits; removal from the tiers follows without the lock.
func (g *Guard) kill(h *Handle, t TableID, cause Cause) {
	h.live.Store(false)
	g.unlink(h)
	switch {
	case h.onlooker:
	case h.stored:
		g.scratch.purge.Evicted++
		if t != noTable {
			g.scratch.purge.Tables[t]++
		}
	default:
		g.scratch.purge.Fills++
	}
	g.scratch.evicted = append(g.scratch.evicted, eviction{h.owner, cause})
}

package coherence

// pendingTransaction is decoded and not yet known to be visible.
type pendingTransaction struct {
	xid        uint32
	start, end LSN
}

// Advance records that everything up to lsn has been received: a keepalive
// outside a transaction. It never moves back.
func (g *Guard) Advance(lsn LSN) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.advance(lsn)
}

// advance moves the applied position and what follows from it. REQUIRES:
// g.mu held.
func (g *Guard) advance(lsn LSN) {
	if lsn > g.applied {
		g.applied = lsn
		g.appliedNow.Store(uint64(lsn))
	}
	g.raiseWatermark()
	g.prove()
}

// raiseWatermark computes W (R2). The pending are in the order of the log, so
// the first has the smallest start.
func (g *Guard) raiseWatermark() {
	w := g.applied
	if len(g.pending) > 0 {
		w = g.pending[0].start
	}
	if w > g.watermark {
		g.watermark = w
		g.markNow.Store(uint64(w))
	}
}

// Pending is how many transactions are applied and not known to be visible.
func (g *Guard) Pending() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.pending)
}

// Settle ends the pending state of every transaction that snap shows as
// finished, and returns how many remain (R4). A snapshot may be used late:
// what it shows as finished stays so.
func (g *Guard) Settle(snap Snapshot) int {
	return g.settle(func(p pendingTransaction) bool { return snap.Finished(p.xid) })
}

// SettleTo ends the pending state of every transaction that ends at or before
// w, a watermark that another process has told, and returns how many remain.
func (g *Guard) SettleTo(w LSN) int {
	return g.settle(func(p pendingTransaction) bool { return p.end <= w })
}

func (g *Guard) settle(visible func(pendingTransaction) bool) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	kept := g.pending[:0]
	for _, p := range g.pending {
		if visible(p) {
			g.settled++
			continue
		}
		kept = append(kept, p)
	}
	g.pending = kept
	g.raiseWatermark()
	return len(g.pending)
}

// probe is a question to the primary: everything up to lsn had been flushed
// at the instant asked.
type probe struct {
	lsn   LSN
	asked Nanos
}

// maxProbes bounds the questions that wait for their position.
const maxProbes = 64

// Probe records that at asked the primary's flush position was asked for and
// lsn was the answer. Once everything up to lsn is applied, asked is proven
// (R6). It reports whether that is so already.
func (g *Guard) Probe(lsn LSN, asked Nanos) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.probes) == maxProbes {
		// The newest says most once it is reached; the oldest is reached first.
		g.probes[maxProbes-1] = probe{lsn, asked}
	} else {
		g.probes = append(g.probes, probe{lsn, asked})
	}
	g.prove()
	return g.applied >= lsn
}

func (g *Guard) prove() {
	n := 0
	for n < len(g.probes) && g.probes[n].lsn <= g.applied {
		if g.probes[n].asked > Nanos(g.provenNow.Load()) {
			g.provenNow.Store(int64(g.probes[n].asked))
		}
		n++
	}
	if n > 0 {
		g.probes = append(g.probes[:0], g.probes[n:]...)
	}
	g.wake()
}

// Unprove forgets every proof and question, for instance because the server
// that answered them turned out to be another one.
func (g *Guard) Unprove() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.unprove()
}

func (g *Guard) unprove() {
	g.probes = g.probes[:0]
	g.provenNow.Store(0)
}

// Reset starts a new epoch at start: every open handle dies and nothing older
// than start is usable (R8). It returns how many handles were dropped.
func (g *Guard) Reset(epoch Epoch, start LSN) int {
	a := &g.scratch
	g.mu.Lock()
	a.evicted = a.evicted[:0]
	g.unprove() // first: no hit from here on
	g.epoch = epoch
	g.floor, g.applied, g.watermark = start, start, start
	g.pending = g.pending[:0]
	g.fences.clear()
	cause := Cause{Reason: "epoch", LSN: start}
	for _, shapes := range g.shapes {
		for _, s := range shapes {
			g.clear(s, start, cause)
		}
	}
	g.clear(g.groups, start, cause)
	g.clear(g.anything, start, cause)
	// Only now: who sees that start is reached finds nothing older alive. A reader
	// with a position looks at both without the lock.
	g.appliedNow.Store(uint64(start))
	g.markNow.Store(uint64(start))
	g.epochNow.Store(uint64(epoch))
	g.wake()
	g.mu.Unlock()
	n := len(a.evicted)
	for i := range a.evicted {
		a.evicted[i].owner.Evicted(a.evicted[i].cause)
	}
	clear(a.evicted)
	return n
}

// clear kills every handle of a shape and sets the shape back to start.
func (g *Guard) clear(s *shape, start LSN, cause Cause) {
	g.sweep(s, func(*node) bool { return true }, noTable, cause)
	s.floor, s.fence = start, 0
}

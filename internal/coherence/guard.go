package coherence

import (
	"sync"
	"sync/atomic"
	"unsafe"
)

// Guard holds what is cached against what has changed. All methods may be
// called from any goroutine; Apply, Advance, Lose and Reset only from one at a
// time, the one that reads the log.
//
// INVARIANT: watermark ≤ applied; both only rise inside an epoch.
type Guard struct {
	known atomic.Pointer[known] // replaced by Watch

	// Read without the lock.
	epochNow   atomic.Uint64
	appliedNow atomic.Uint64
	markNow    atomic.Uint64
	provenNow  atomic.Int64

	mu        sync.Mutex
	epoch     Epoch
	floor     LSN // an asof below it is not usable (R3)
	applied   LSN // every transaction that ends at or before it has been applied
	watermark LSN // W of R2
	pending   []pendingTransaction
	settled   uint64 // transactions ever settled
	probes    []probe
	waiters   []waiter
	shapes    [][]*shape // by TableID; the first is the whole table
	byKey     map[shapeKey]*shape
	nextShape uint64
	groups    *shape
	anything  *shape // one tag, which every transaction touches
	fences    fences
	handles   int
	lost      []bool // by TableID: its changes can't be followed

	scratch applyScratch // of Apply
}

// Config is what a Guard is made with.
type Config struct {
	Tables    []Table
	FenceBits int // 2^FenceBits fences of 8 bytes; 0 means 18 (2 MiB)
}

// New makes a guard without an epoch: nothing is usable until Reset.
func New(c Config) (*Guard, error) {
	if c.FenceBits == 0 {
		c.FenceBits = 18
	}
	g := &Guard{
		byKey:  make(map[shapeKey]*shape),
		fences: newFences(c.FenceBits),
	}
	g.known.Store(&known{})
	if err := g.Watch(c.Tables); err != nil {
		return nil, err
	}
	g.groups = &shape{id: 1 << 63, byValue: newByValue()}
	g.anything = &shape{id: 1<<63 + 1, byValue: newByValue()}
	return g, nil
}

// known is the tables that a guard watches. It is immutable.
type known struct {
	tables []Table
	byName map[string]TableID
}

// Tables are the tables that the guard watches.
func (g *Guard) Tables() []Table { return g.known.Load().tables }

// Table finds a table by its qualified name.
func (g *Guard) Table(name string) (TableID, bool) {
	id, ok := g.known.Load().byName[name]
	return id, ok
}

// Epoch is the current epoch; 0 before the first.
func (g *Guard) Epoch() Epoch { return Epoch(g.epochNow.Load()) }

// Applied is the position up to which every transaction has been applied.
func (g *Guard) Applied() LSN { return LSN(g.appliedNow.Load()) }

// Position is the applied position with its epoch.
func (g *Guard) Position() Position {
	g.mu.Lock()
	defer g.mu.Unlock()
	return Position{g.epoch, g.applied}
}

// Covers tells whether p is of the current epoch and everything up to it has
// been applied. What is found unfenced after that holds everything up to p.
func (g *Guard) Covers(p Position) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return p.Epoch == g.epoch && p.Epoch != 0 && p.LSN <= g.applied
}

// Watermark is W: every transaction that ends at or before it is applied and
// visible. It is what may be acknowledged to the slot (R5).
func (g *Guard) Watermark() LSN { return LSN(g.markNow.Load()) }

// Proven is the latest instant at which everything committed on the primary
// is known to be applied here (R6); 0 when nothing is proven.
func (g *Guard) Proven() Nanos { return Nanos(g.provenNow.Load()) }

// Handles is how many handles are open.
func (g *Guard) Handles() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.handles
}

// Open registers the dependencies of a fill before its request goes to the
// origin and fixes its asof (R2). A fill that a pending commit has touched
// already reports false: it may be served, and must not be stored.
func (g *Guard) Open(h *Handle, owner Holder, deps []Dependency) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	h.epoch, h.asof, h.owner = g.epoch, g.watermark, owner
	h.settled, h.stored = uint32(g.settled), false
	g.link(h, deps) // R3: index first, then check
	h.doomed = !g.usable(h)
	if h.doomed && g.readsLost(h) {
		h.settled-- // R7: nobody would tell who joins what has changed meanwhile
	}
	h.live.Store(true)
	return !h.doomed
}

// OpenStored registers a response that was stored elsewhere with its epoch
// and asof. It reports false, and registers nothing, unless the response is
// usable (R3).
func (g *Guard) OpenStored(h *Handle, owner Holder, deps []Dependency, epoch Epoch, asof LSN) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	h.epoch, h.asof, h.owner = epoch, asof, owner
	g.link(h, deps) // R3: index first, then check
	if !g.usable(h) {
		g.unlink(h)
		return false
	}
	h.stored = true
	h.live.Store(true)
	return true
}

// Current tells whether a response that was stored elsewhere with its epoch
// and asof is usable now (R3), for one who serves it and doesn't keep it:
// nothing is registered.
func (g *Guard) Current(deps []Dependency, epoch Epoch, asof LSN) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.reaches(epoch, asof) {
		return false
	}
	for i := range deps {
		if !g.unfenced(&deps[i], asof) {
			return false
		}
	}
	return true
}

// usable is R3. REQUIRES: g.mu held, h linked.
func (g *Guard) usable(h *Handle) bool {
	if !g.reaches(h.epoch, h.asof) {
		return false
	}
	nodes := h.nodes()
	for i := range nodes {
		if !g.unfenced(&nodes[i].dep, h.asof) {
			return false
		}
	}
	return true
}

// reaches tells whether the fences say everything about what was read at asof
// in epoch. REQUIRES: g.mu held.
func (g *Guard) reaches(epoch Epoch, asof LSN) bool {
	return epoch == g.epoch && epoch != 0 && asof >= g.floor
}

func (g *Guard) unfenced(d *Dependency, asof LSN) bool {
	return !d.shape.lost && asof >= d.shape.floor && d.shape.fence <= asof && g.fences.of(d.shape, d.sum) <= asof
}

// Extend adds dependencies that were learned from the response itself. They
// were not watched while the fill was on its way, so their fences decide. It
// reports false if anything has touched them since asof: then the response
// must not be stored, and who joined the flight late must not share it (R7).
func (g *Guard) Extend(h *Handle, deps []Dependency) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if h.linked {
		nodes := h.nodes()
		all := make([]Dependency, 0, len(nodes)+len(deps))
		for i := range nodes {
			all = append(all, nodes[i].dep)
		}
		g.unlink(h)
		g.link(h, append(all, deps...)) // R3: index first, then check
	}
	current := h.epoch == g.epoch
	for i := range deps {
		current = current && g.unfenced(&deps[i], h.asof)
	}
	h.doomed = h.doomed || !current
	return current
}

// Admit hands the handle from a fill to the stored response. It reports
// false, and closes the handle, if anything has touched the dependencies
// since Open; then the response must not be stored (R3).
func (g *Guard) Admit(h *Handle, owner Holder) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !h.live.Load() || h.doomed {
		g.unlink(h)
		h.live.Store(false)
		return false
	}
	h.owner, h.stored = owner, true
	return true
}

// Joinable tells whether a reader that arrives now may share the flight of h
// (R7): nothing it depends on was touched, and if a pending commit had touched
// it at the start, nothing has settled since.
func (g *Guard) Joinable(h *Handle) bool {
	if !h.live.Load() {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return h.live.Load() && h.epoch == g.epoch && (!h.doomed || h.settled == uint32(g.settled))
}

// Close ends the handle: its response is gone. Closing twice is harmless.
func (g *Guard) Close(h *Handle) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.unlink(h)
	h.live.Store(false)
}

// link puts h into the index. REQUIRES: g.mu held, h not linked.
func (g *Guard) link(h *Handle, deps []Dependency) {
	nodes := make([]node, len(deps))
	h.first, h.count = unsafe.SliceData(nodes), uint32(len(nodes))
	for i := range nodes {
		n := &nodes[i]
		n.handle, n.dep = h, deps[i]
		n.dep.shape.insert(n)
	}
	h.linked = true
	g.handles++
}

// unlink takes h out of the index. REQUIRES: g.mu held.
func (g *Guard) unlink(h *Handle) {
	if !h.linked {
		return
	}
	nodes := h.nodes()
	for i := range nodes {
		nodes[i].dep.shape.remove(&nodes[i])
	}
	h.first, h.count, h.linked = nil, 0, false
	g.handles--
}

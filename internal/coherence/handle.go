package coherence

import (
	"sync/atomic"
	"unsafe"
)

// Holder is what depends on rows: a stored response, or a fill on its way.
type Holder interface {
	// Evicted is called once when the holder's dependencies have been
	// touched, without the guard's lock, after Handle.Live has turned false.
	Evicted(Cause)
}

// Cause tells why a holder was evicted.
type Cause struct {
	Reason string // "change", "group", "epoch"
	Table  string // of a change
	LSN    LSN    // end of the commit
}

// Handle ties a holder to its dependencies. It lives inside its holder; the
// zero value is ready for Guard.Open. Its life: opened when a fill starts,
// admitted when the response is stored, and dead once touched or closed.
type Handle struct {
	live atomic.Bool

	// Guarded by Guard.mu; here because there is room beside live.
	linked   bool
	stored   bool // admitted: a response, no longer a fill
	doomed   bool // a pending commit had touched a dependency when it was opened
	onlooker bool // neither a fill nor a response

	settled uint32 // the low half of Guard.settled when it was opened
	count   uint32 // of nodes

	epoch Epoch
	asof  LSN

	// Guarded by Guard.mu.
	owner Holder
	first *node // of the nodes, which lie one behind the other
}

// nodes are h's places in the index. The slice is put together here: its
// header would be 16 bytes more in every response.
func (h *Handle) nodes() []node { return unsafe.Slice(h.first, h.count) }

// Live tells whether nothing has touched the dependencies since they were
// opened. It is what a hit checks: one atomic load.
func (h *Handle) Live() bool { return h.live.Load() }

// Asof is the watermark read before the fill's request was sent: the response
// is at least as new (R2).
func (h *Handle) Asof() LSN { return h.asof }

// Epoch is the epoch that Asof counts in.
func (h *Handle) Epoch() Epoch { return h.epoch }

package store

import (
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"walpurge/internal/coherence"
	"walpurge/internal/http1"
	"walpurge/internal/proxycache/route"
	"walpurge/internal/rfc9111"
)

// Entry is a stored response: bytes ready to send, what decides whether they
// may be, and the tie to its dependencies. It is immutable once published.
type Entry struct {
	Handle coherence.Handle // ties it to its dependencies
	Memory *Memory          // the tier that it is for
	Route  *route.Route     // nil without a declared one

	Packed Packed  // its key and its head
	Body   []byte  // without the head
	coded  *coded  // its body in other codings; nil: there are none
	Extras *Extras // nil: there is nothing of it

	Received                           coherence.Nanos // when its head had arrived
	Age                                coherence.Nanos // then
	Fresh                              coherence.Nanos // until when it may be used without validation
	StaleWhileRevalidate, StaleIfError Leeway          // how much longer, while or if

	Status  uint16
	Guarded bool // it has dependencies
	Shared  bool // may answer requests with Authorization
	Lenient bool // may be served past its lifetime to a request that asks for it
}

// Extras is what few entries have: it would make all of them larger.
type Extras struct {
	groups   []string        // without dependencies: its groups, with their origin
	asked    coherence.Nanos // with groups: when its request was sent
	targeted []string        // Walpurge-Cache-Control, which isn't part of the head

	part    *rfc9111.Part // of a 206: where in the representation the body lies
	changed atomic.Int64  // of a route that may show it for a moment longer: when a row has changed, in Nanos; 0: none has

	variants *Variants // of a marker: the response varies, the entries are elsewhere
	searches *searches // of a marker: what No-Vary-Search says of a path's responses
}

// Variants is what a marker knows of its key's variants; nil of anything else.
func (e *Entry) Variants() *Variants {
	if e.Extras == nil {
		return nil
	}
	return e.Extras.variants
}

func (e *Entry) searches() *searches {
	if e.Extras == nil {
		return nil
	}
	return e.Extras.searches
}

// Groups are the groups of a response without dependencies, with their origin.
func (e *Entry) Groups() []string {
	if e.Extras == nil {
		return nil
	}
	return e.Extras.groups
}

// Targeted are the values of Walpurge-Cache-Control.
func (e *Entry) Targeted() []string {
	if e.Extras == nil {
		return nil
	}
	return e.Extras.targeted
}

// newMarker makes what key leads to in the place of a response.
func newMarker(m *Memory, key string, a *Extras) *Entry {
	e := &Entry{Memory: m, Extras: a}
	e.SetKey(key)
	return e
}

// Part is where in the representation e's body lies; nil: it is the whole.
func (e *Entry) Part() *rfc9111.Part {
	if e.Extras == nil {
		return nil
	}
	return e.Extras.part
}

// Changed is when a row has changed under e; 0: none has.
func (e *Entry) Changed() coherence.Nanos {
	if e.Extras == nil {
		return 0
	}
	return coherence.Nanos(e.Extras.changed.Load())
}

// Portable tells whether e's head and body say everything about it: then it
// can lie in Redis.
func (e *Entry) Portable() bool {
	return e.Extras == nil || len(e.Extras.groups) == 0 && len(e.Extras.targeted) == 0 && e.Extras.part == nil
}

// SetExtras gives e its groups and targeted fields. REQUIRES: e isn't published.
func (e *Entry) SetExtras(groups, targeted []string, asked coherence.Nanos) {
	e.Extras = nil
	if len(groups) > 0 || len(targeted) > 0 {
		e.Extras = &Extras{groups: groups, targeted: targeted, asked: asked}
	}
}

// SetPart says which part e is; nil: it is the whole. REQUIRES: e isn't
// published.
func (e *Entry) SetPart(p *rfc9111.Part) {
	e.SetExtras(e.Groups(), e.Targeted(), e.asked())
	if p == nil {
		return
	}
	if e.Extras == nil {
		e.Extras = new(Extras)
	}
	e.Extras.part = p
}

// asked is when e's request was sent, of one with groups.
func (e *Entry) asked() coherence.Nanos {
	if e.Extras == nil {
		return 0
	}
	return e.Extras.asked
}

// ChangedFor is how long e may be shown after a row has changed.
func (e *Entry) ChangedFor() coherence.Nanos {
	if e.Route == nil {
		return 0
	}
	return coherence.Nanos(e.Route.StaleOnChange)
}

// WithHead is e with another head, for one who gets fields that aren't stored.
func (e *Entry) WithHead(block []byte) *Entry {
	n := &Entry{Route: e.Route, Status: e.Status, Received: e.Received, Age: e.Age, Fresh: e.Fresh, Body: e.Body}
	n.SetHead(http1.FinishHead(block, int(e.Status), len(e.Body)))
	return n
}

// Evicted takes the entry out of the memory tier. Hits have stopped before.
// One that may be shown for a moment longer stays, and is marked.
func (e *Entry) Evicted(c coherence.Cause) {
	if e.ChangedFor() > 0 && c.Reason == "change" {
		e.Extras.changed.CompareAndSwap(0, int64(e.Memory.Now()))
		return
	}
	e.Memory.RemoveEntry(e)
}

// Usable tells whether the entry may be served at now as far as its
// dependencies are concerned. proven is the guard's proof of freshness, read
// before (C1).
func (e *Entry) Usable(now, proven coherence.Nanos) bool {
	return !e.Guarded || e.Route.Proves(now, proven) && e.Handle.Live()
}

// AgeAt is the Age at now in whole seconds (RFC 9111 section 5.1).
func (e *Entry) AgeAt(now coherence.Nanos) int64 {
	return int64(max(0, e.Age+now-e.Received)) / int64(time.Second)
}

// AgeSpan is the age at now.
func (e *Entry) AgeSpan(now coherence.Nanos) time.Duration {
	return time.Duration(e.Age + now - e.Received)
}

// TTLAt is the remaining lifetime at now in whole seconds, negative once over.
func (e *Entry) TTLAt(now coherence.Nanos) int64 {
	return int64(e.Fresh-now) / int64(time.Second)
}

// entryOverhead is what an entry costs beside its bytes: the struct, the
// cache's node, the index node of one dependency, and what the allocator
// rounds up, when the cache's hash table has just doubled. TestEntryFootprint
// measures it, and docs/decisions/0008 says what of it goes where.
const entryOverhead = 336

// Leeway is a length of time in hundredths of a second, for which an entry has
// half the room. What is longer than 497 days counts as that.
type Leeway uint32

// LeewayOf is d as far as there is room.
func LeewayOf(d time.Duration) Leeway {
	return Leeway(min(max(0, d/(10*time.Millisecond)), math.MaxUint32))
}

// Nanos is the length.
func (l Leeway) Nanos() coherence.Nanos {
	return coherence.Nanos(l) * coherence.Nanos(10*time.Millisecond)
}

// Weight is the entry's share of the memory tier in bytes.
func (e *Entry) Weight() uint32 {
	n := len(e.Packed.S) + len(e.Body) + int(e.CodedRoom()) + entryOverhead
	if e.Extras != nil {
		n += int(unsafe.Sizeof(Extras{}))
	}
	if e.Variants() != nil {
		n += MaxVariants * 64
	}
	if e.coded != nil {
		n += int(unsafe.Sizeof(coded{})) + len(e.Packed.S) // and the head of one that is made
	}
	return uint32(min(n, 1<<32-1))
}

// Variants is what a marker knows: which request fields the responses of its
// key vary by, and which variants are stored.
type Variants struct {
	Names []string // of the fields that the responses vary by

	mu   sync.Mutex
	keys []string // the oldest first
}

// MaxVariants bounds the stored variants of one key. A field that every
// browser spells its own way would fill the cache with copies.
const MaxVariants = 32

// Add notes a variant and returns the one that makes room for it.
func (v *Variants) Add(key string) (evict string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if slices.Contains(v.keys, key) {
		return ""
	}
	if len(v.keys) == MaxVariants {
		evict = v.keys[0]
		v.keys = append(v.keys[:0], v.keys[1:]...)
	}
	v.keys = append(v.keys, strings.Clone(key)) // it is a part of the variant's text
	return evict
}

// List returns the variants.
func (v *Variants) List() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.keys)
}

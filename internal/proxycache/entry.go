package proxycache

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

// entry is a stored response: bytes ready to send, what decides whether they
// may be, and the tie to its dependencies. It is immutable once published.
type entry struct {
	handle coherence.Handle
	memory *memory
	route  *route.Route // nil without a declared one

	text  text // its key and its head
	body  []byte
	coded *coded // its body in other codings; nil: there are none
	apart *apart // nil: there is nothing of it

	received coherence.Nanos // when its head had arrived
	age      coherence.Nanos // then
	fresh    coherence.Nanos // until when it may be used without validation
	swr, sie leeway          // how much longer, while or if

	status  uint16
	guarded bool
	shared  bool // may answer requests with Authorization
	lenient bool // may be served past its lifetime to a request that asks for it
}

// apart is what few entries have: it would make all of them larger.
type apart struct {
	groups   []string        // without dependencies: its groups, with their origin
	asked    coherence.Nanos // with groups: when its request was sent
	targeted []string        // Walpurge-Cache-Control, which isn't part of the head

	part    *rfc9111.Part // of a 206: where in the representation the body lies
	changed atomic.Int64  // of a route that may show it for a moment longer: when a row has changed, in Nanos; 0: none has

	variants *variants // of a marker: the response varies, the entries are elsewhere
	searches *searches // of a marker: what No-Vary-Search says of a path's responses
}

func (e *entry) variants() *variants {
	if e.apart == nil {
		return nil
	}
	return e.apart.variants
}

func (e *entry) searches() *searches {
	if e.apart == nil {
		return nil
	}
	return e.apart.searches
}

func (e *entry) groups() []string {
	if e.apart == nil {
		return nil
	}
	return e.apart.groups
}

func (e *entry) targeted() []string {
	if e.apart == nil {
		return nil
	}
	return e.apart.targeted
}

// newMarker makes what key leads to in the place of a response.
func newMarker(m *memory, key string, a *apart) *entry {
	e := &entry{memory: m, apart: a}
	e.setKey(key)
	return e
}

// part is where in the representation e's body lies; nil: it is the whole.
func (e *entry) part() *rfc9111.Part {
	if e.apart == nil {
		return nil
	}
	return e.apart.part
}

// changed is when a row has changed under e; 0: none has.
func (e *entry) changed() coherence.Nanos {
	if e.apart == nil {
		return 0
	}
	return coherence.Nanos(e.apart.changed.Load())
}

// portable tells whether e's head and body say everything about it: then it
// can lie in Redis.
func (e *entry) portable() bool {
	return e.apart == nil || len(e.apart.groups) == 0 && len(e.apart.targeted) == 0 && e.apart.part == nil
}

// setApart gives e its groups and targeted fields. REQUIRES: e isn't published.
func (e *entry) setApart(groups, targeted []string, asked coherence.Nanos) {
	e.apart = nil
	if len(groups) > 0 || len(targeted) > 0 {
		e.apart = &apart{groups: groups, targeted: targeted, asked: asked}
	}
}

// setPart says which part e is; nil: it is the whole. REQUIRES: e isn't
// published.
func (e *entry) setPart(p *rfc9111.Part) {
	e.setApart(e.groups(), e.targeted(), e.asked())
	if p == nil {
		return
	}
	if e.apart == nil {
		e.apart = new(apart)
	}
	e.apart.part = p
}

// asked is when e's request was sent, of one with groups.
func (e *entry) asked() coherence.Nanos {
	if e.apart == nil {
		return 0
	}
	return e.apart.asked
}

// changedFor is how long e may be shown after a row has changed.
func (e *entry) changedFor() coherence.Nanos {
	if e.route == nil {
		return 0
	}
	return coherence.Nanos(e.route.StaleOnChange)
}

// withHead is e with another head, for one who gets fields that aren't stored.
func (e *entry) withHead(block []byte) *entry {
	n := &entry{route: e.route, status: e.status, received: e.received, age: e.age, fresh: e.fresh, body: e.body}
	n.setHead(http1.FinishHead(block, int(e.status), len(e.body)))
	return n
}

// Evicted takes the entry out of the memory tier. Hits have stopped before.
// One that may be shown for a moment longer stays, and is marked.
func (e *entry) Evicted(c coherence.Cause) {
	if e.changedFor() > 0 && c.Reason == "change" {
		e.apart.changed.CompareAndSwap(0, int64(e.memory.now()))
		return
	}
	e.memory.removeEntry(e)
}

// usable tells whether the entry may be served at now as far as its
// dependencies are concerned. proven is the guard's proof of freshness, read
// before (C1).
func (e *entry) usable(now, proven coherence.Nanos) bool {
	return !e.guarded || e.route.Proves(now, proven) && e.handle.Live()
}

// ageAt is the Age at now in whole seconds (RFC 9111 section 5.1).
func (e *entry) ageAt(now coherence.Nanos) int64 {
	return int64(max(0, e.age+now-e.received)) / int64(time.Second)
}

// ageSpan is the age at now.
func (e *entry) ageSpan(now coherence.Nanos) time.Duration {
	return time.Duration(e.age + now - e.received)
}

// ttlAt is the remaining lifetime at now in whole seconds, negative once over.
func (e *entry) ttlAt(now coherence.Nanos) int64 {
	return int64(e.fresh-now) / int64(time.Second)
}

// entryOverhead is what an entry costs beside its bytes: the struct, the
// cache's node, the index node of one dependency, and what the allocator
// rounds up, when the cache's hash table has just doubled. TestEntryFootprint
// measures it, and docs/decisions/0008 says what of it goes where.
const entryOverhead = 336

// leeway is a length of time in hundredths of a second, for which an entry has
// half the room. What is longer than 497 days counts as that.
type leeway uint32

func leewayOf(d time.Duration) leeway {
	return leeway(min(max(0, d/(10*time.Millisecond)), math.MaxUint32))
}

func (l leeway) nanos() coherence.Nanos {
	return coherence.Nanos(l) * coherence.Nanos(10*time.Millisecond)
}

// weight is the entry's share of the memory tier in bytes.
func (e *entry) weight() uint32 {
	n := len(e.text.s) + len(e.body) + int(e.codedRoom()) + entryOverhead
	if e.apart != nil {
		n += int(unsafe.Sizeof(apart{}))
	}
	if e.variants() != nil {
		n += maxVariants * 64
	}
	if e.coded != nil {
		n += int(unsafe.Sizeof(coded{})) + len(e.text.s) // and the head of one that is made
	}
	return uint32(min(n, 1<<32-1))
}

// variants is what a marker knows: which request fields the responses of its
// key vary by, and which variants are stored.
type variants struct {
	names []string

	mu   sync.Mutex
	keys []string // the oldest first
}

// maxVariants bounds the stored variants of one key. A field that every
// browser spells its own way would fill the cache with copies.
const maxVariants = 32

// add notes a variant and returns the one that makes room for it.
func (v *variants) add(key string) (evict string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if slices.Contains(v.keys, key) {
		return ""
	}
	if len(v.keys) == maxVariants {
		evict = v.keys[0]
		v.keys = append(v.keys[:0], v.keys[1:]...)
	}
	v.keys = append(v.keys, strings.Clone(key)) // it is a part of the variant's text
	return evict
}

// list returns the variants.
func (v *variants) list() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.keys)
}

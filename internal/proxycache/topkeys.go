package proxycache

import (
	"bytes"
	"cmp"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cespare/xxhash/v2"

	"walpurge/internal/coherence"
)

// Bounds of what is known about single URLs.
const (
	topSlots      = 128  // URLs counted at a time
	topShown      = 12   // of them, in /status
	topLongest    = 2048 // bytes of a URL that is counted
	topWindow     = 4096 // samples until all counts are halved
	topStride     = 256  // at most one request in so many is looked at
	topFastWindow = coherence.Nanos(4 * time.Second)
	topSlowWindow = coherence.Nanos(16 * time.Second)
)

// topKeys finds the URLs that are asked for most. It looks at a sample of the
// requests, one in stride, and counts them with the space-saving sketch of
// Metwally, Agrawal and El Abbadi: a URL without a slot takes over the smallest
// one with its count, and remembers that count as its possible error. Counts
// are halved every topWindow samples, so that what was popular once fades.
//
// A hit pays for a random number; the one that is looked at pays for a hash
// and a walk through the slots. Nothing is allocated, and nobody waits.
type topKeys struct {
	stride atomic.Uint32 // a power of two; 0 counts as 1

	mu struct {
		sync.Mutex
		hashes  [topSlots]uint64 // apart: the walk reads nothing else
		slots   [topSlots]topSlot
		used    int
		samples int // since the last halving
		halved  coherence.Nanos
		total   uint64 // requests, by their weights, fading like the counts
	}
}

// topSlot is one URL. Its true count lies between count-over and count.
type topSlot struct {
	url               []byte // its own: a key is a part of what an entry holds
	count, hits, over uint64
}

// note counts a request for key, or most often doesn't.
func (t *topKeys) note(key string, wasHit bool, now coherence.Nanos) {
	stride := max(1, t.stride.Load())
	if stride > 1 && rand.Uint32()&(stride-1) != 0 {
		return
	}
	t.sample(key, wasHit, uint64(stride), now)
}

// sample counts weight requests for key. Where somebody else is counting, the
// sample is dropped: it is only one of many.
func (t *topKeys) sample(key string, wasHit bool, weight uint64, now coherence.Nanos) {
	// What follows the first line tells variants and cookies apart. It is
	// nobody's business here.
	if i := strings.IndexByte(key, '\n'); i >= 0 {
		key = key[:i]
	}
	if len(key) > topLongest || !t.mu.TryLock() {
		return
	}
	defer t.mu.Unlock()
	s := t.slot(key)
	s.count += weight
	if wasHit {
		s.hits += weight
	}
	t.mu.total += weight
	if t.mu.samples++; t.mu.samples >= topWindow {
		t.halve(now)
	}
}

// slot finds key's slot or takes one for it. REQUIRES: mu.
func (t *topKeys) slot(key string) *topSlot {
	m := &t.mu
	hash := xxhash.Sum64String(key)
	for i := range m.hashes[:m.used] {
		if m.hashes[i] == hash {
			return &m.slots[i]
		}
	}
	at := m.used
	if at < topSlots {
		m.used++
	} else {
		at = 0
		for i := range m.slots {
			if m.slots[i].count < m.slots[at].count {
				at = i
			}
		}
	}
	least := m.slots[at].count // 0 of a free one
	m.hashes[at], m.slots[at] = hash, topSlot{url: append(m.slots[at].url[:0], key...), count: least, over: least}
	return &m.slots[at]
}

// halve lets the past fade, and chooses the stride so that a window takes some
// seconds. REQUIRES: mu.
func (t *topKeys) halve(now coherence.Nanos) {
	m := &t.mu
	for i := range m.slots[:m.used] {
		s := &m.slots[i]
		s.count, s.hits, s.over = s.count/2, s.hits/2, s.over/2
	}
	m.total /= 2
	stride := max(1, t.stride.Load())
	switch took := now - m.halved; {
	case took < topFastWindow && stride < topStride:
		t.stride.Store(2 * stride)
	case took > topSlowWindow && stride > 1:
		t.stride.Store(stride / 2)
	}
	m.samples, m.halved = 0, now
}

// topKey is what is shown of a URL.
type topKey struct {
	URL   string  `json:"url"`
	Share float64 `json:"share"` // of the requests to cached routes of late: at least
	Hits  float64 `json:"hits"`  // share of hits among its own requests
}

// list returns the first n, the most asked for first. Slots whose count may be
// all their predecessors' are left out.
func (t *topKeys) list(n int) []topKey {
	t.mu.Lock()
	defer t.mu.Unlock() // who counts meanwhile doesn't wait
	total := t.mu.total
	slots := slices.Clone(t.mu.slots[:t.mu.used])
	slots = slices.DeleteFunc(slots, func(s topSlot) bool { return s.count <= s.over })
	slices.SortFunc(slots, func(a, b topSlot) int {
		return cmp.Or(cmp.Compare(b.count-b.over, a.count-a.over), bytes.Compare(a.url, b.url))
	})
	top := make([]topKey, 0, min(n, len(slots)))
	for _, s := range slots[:min(n, len(slots))] {
		sure := float64(s.count - s.over)
		top = append(top, topKey{URL: string(s.url), Share: sure / float64(max(total, 1)), Hits: min(1, float64(s.hits)/sure)})
	}
	return top
}

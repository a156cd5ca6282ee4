package proxycache

import (
	"bytes"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"walpurge/internal/coherence"
)

// entry is a stored response: bytes ready to send, what decides whether they
// may be, and the tie to its dependencies. It is immutable once published.
type entry struct {
	handle coherence.Handle
	memory *memory
	key    string
	route  *route // nil without a declared one

	guarded bool
	shared  bool // may answer requests with Authorization
	lenient bool // may be served past its lifetime to a request that asks for it
	status  int

	received coherence.Nanos // when its head had arrived
	age      coherence.Nanos // then
	fresh    coherence.Nanos // until when it may be used without validation
	swr, sie coherence.Nanos // how much longer, while or if

	changed atomic.Int64 // when a row has changed, in Nanos; 0: none has

	arrived int64 // received by the wall's clock, in Unix nanoseconds, for other processes

	head []byte // status line and fields with Content-Length, each with CRLF
	body []byte

	forms forms // as clients get it

	apart    *apart // nil: there is nothing of it
	part     *part  // of a 206: where in the representation the body lies
	etag     string
	modified string // Last-Modified
}

// apart is what few entries have: it would make all of them larger.
type apart struct {
	groups   []string        // without dependencies: its groups, with their origin
	asked    coherence.Nanos // with groups: when its request was sent
	targeted []string        // Walpurge-Cache-Control, which isn't part of the head

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

// setApart gives e its groups and targeted fields. REQUIRES: e isn't published.
func (e *entry) setApart(groups, targeted []string, asked coherence.Nanos) {
	e.apart = nil
	if len(groups) > 0 || len(targeted) > 0 {
		e.apart = &apart{groups: groups, targeted: targeted, asked: asked}
	}
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
	return &entry{
		route: e.route, status: e.status, received: e.received, age: e.age, fresh: e.fresh, body: e.body, etag: e.etag, modified: e.modified,
		head: finishHead(block, e.status, len(e.body)),
	}
}

// Evicted takes the entry out of the memory tier. Hits have stopped before.
// One that may be shown for a moment longer stays, and is marked.
func (e *entry) Evicted(c coherence.Cause) {
	if e.changedFor() > 0 && c.Reason == "change" {
		e.changed.CompareAndSwap(0, int64(e.memory.now()))
		return
	}
	e.memory.removeEntry(e)
}

// usable tells whether the entry may be served at now as far as its
// dependencies are concerned. proven is the guard's proof of freshness, read
// before (C1).
func (e *entry) usable(now, proven coherence.Nanos) bool {
	return !e.guarded || proven != 0 && now-proven <= coherence.Nanos(e.route.MaxLag) && e.handle.Live()
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
// rounds up. TestEntryFootprint measures it.
const entryOverhead = 512

// weight is the entry's share of the memory tier in bytes.
func (e *entry) weight() uint32 {
	n := 2*len(e.head) + len(e.body) + int(e.codedRoom()) + len(e.key) + len(e.etag) + len(e.modified) + entryOverhead
	if e.variants() != nil {
		n += maxVariants * 64
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
	v.keys = append(v.keys, key)
	return evict
}

// list returns the variants.
func (v *variants) list() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.keys)
}

func appendStatus(dst []byte, status int) []byte {
	dst = append(dst, "HTTP/1.1 "...)
	dst = strconv.AppendInt(dst, int64(status), 10)
	dst = append(dst, ' ')
	dst = append(dst, http.StatusText(status)...)
	return append(dst, '\r', '\n')
}

// appendFields appends the fields sorted by name, so that equal responses are
// equal bytes.
func appendFields(dst []byte, h http.Header) []byte {
	names := make([]string, 0, len(h))
	for name := range h {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		for _, v := range h[name] {
			dst = appendField(dst, name, v)
		}
	}
	return dst
}

func appendField(dst []byte, name, value string) []byte {
	dst = append(append(dst, name...), ": "...)
	dst = append(dst, value...)
	return append(dst, '\r', '\n')
}

// header reads the fields of a stored head back, without Content-Length.
func (e *entry) header() http.Header {
	h := make(http.Header)
	for name, value := range fields(e.head) {
		if string(name) != "Content-Length" {
			h[string(name)] = append(h[string(name)], string(value))
		}
	}
	return h
}

// fields iterates over the fields of a stored head.
func fields(head []byte) func(func(name, value []byte) bool) {
	return func(yield func(name, value []byte) bool) {
		_, rest, _ := bytes.Cut(head, crlf)
		for len(rest) > 0 {
			var line []byte
			line, rest, _ = bytes.Cut(rest, crlf)
			name, value, _ := bytes.Cut(line, []byte(": "))
			if !yield(name, value) {
				return
			}
		}
	}
}

var crlf = []byte("\r\n")

func sortedUnique(s []string) []string {
	slices.Sort(s)
	return slices.Compact(s)
}

// isWeak tells whether an entity tag is weak (RFC 9110 section 8.8.3).
func isWeak(etag string) bool { return strings.HasPrefix(etag, "W/") }

// finishHead makes a stored head of the status line and fields in block.
func finishHead(block []byte, status, length int) []byte {
	head := make([]byte, 0, len(block)+28)
	head = append(head, block...)
	if status != http.StatusNoContent {
		head = append(head, "Content-Length: "...)
		head = strconv.AppendInt(head, int64(length), 10)
		head = append(head, '\r', '\n')
	}
	return head
}

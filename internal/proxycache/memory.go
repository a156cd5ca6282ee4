package proxycache

import (
	"context"
	"hash/maphash"
	"log/slog"
	"sync/atomic"

	"github.com/maypok86/otter/v2"

	"walpurge/internal/coherence"
	"walpurge/internal/rfc9111"
)

// memory is the memory tier: entries by key, bounded by their bytes. Lookups
// take no lock.
type memory struct {
	cache *otter.Cache[place, *entry]
	seed  maphash.Seed
	guard *coherence.Guard
	now   func() coherence.Nanos
	door  *doorkeeper

	compress bool // responses may be sent in other codings than the origin's

	groups groupIndex    // of entries without dependencies
	rules  atomic.Uint64 // the last number of a rule of No-Vary-Search
}

// place is where in the cache a key's entry is: the key's hash. An entry has its
// key already, and a second header of it in the cache's node would make that
// larger by a third. Two keys of one place take turns in it: whoever finds
// something there compares the key.
type place uint64

func (m *memory) place(key string) place { return place(maphash.String(m.seed, key)) }

func newMemory(size int64, guard *coherence.Guard, now func() coherence.Nanos, log *slog.Logger) (*memory, error) {
	m := &memory{seed: maphash.MakeSeed(), guard: guard, now: now, door: newDoorkeeper(size)}
	var err error
	m.cache, err = otter.New(&otter.Options[place, *entry]{
		MaximumWeight:    uint64(size),
		Weigher:          func(_ place, e *entry) uint32 { return e.weight() },
		OnAtomicDeletion: m.deleted,
		Logger:           otterLog{log},
	})
	return m, err
}

// deleted ends the handle of an entry that leaves, whatever took it out. It
// runs under a lock of the cache; the guard never calls the cache under its
// own, so the order of the two is always this one.
func (m *memory) deleted(ev otter.DeletionEvent[place, *entry]) {
	if ev.Value.guarded {
		m.guard.Close(&ev.Value.handle)
	}
	if len(ev.Value.groups()) > 0 {
		m.groups.remove(ev.Value)
	}
}

// get finds an entry. It doesn't keep key.
func (m *memory) get(key []byte) *entry {
	e, _ := m.cache.GetIfPresent(place(maphash.Bytes(m.seed, key)))
	if e == nil || e.key() != string(key) {
		return nil
	}
	return e
}

// peek finds an entry without counting as a use.
func (m *memory) peek(key string) *entry {
	found, ok := m.cache.GetEntryQuietly(m.place(key))
	if !ok || found.Value.key() != key {
		return nil
	}
	return found.Value
}

// put stores an entry whose handle has been admitted. An entry that was
// touched between the admission and now is taken out again: the listener that
// marked it dead may have looked for it before it was there (R3).
func (m *memory) put(e *entry) bool {
	if len(e.groups()) > 0 && !m.groups.add(e, e.asked()) {
		return false
	}
	if !m.set(e) {
		return false
	}
	if e.guarded && !e.handle.Live() {
		m.removeEntry(e) // also what may be shown after a change: it was never shown before
		return false
	}
	if len(e.groups()) > 0 && !m.groups.holds(e) { // ended between the two
		m.removeEntry(e)
		return false
	}
	return true
}

// set makes e what its key leads to. An error gives way to a page that may
// still be used.
func (m *memory) set(e *entry) bool {
	if !rfc9111.Fails(int(e.status)) {
		m.cache.Set(m.place(e.key()), e)
		return true
	}
	found, _ := m.cache.Compute(m.place(e.key()), func(old *entry, found bool) (*entry, otter.ComputeOp) {
		if found && old.key() == e.key() && old.outlasts(int(e.status), m.now()) {
			return old, otter.CancelOp
		}
		return e, otter.WriteOp
	})
	if found != e {
		m.groups.remove(e)
	}
	return found == e
}

// replace puts n, which has no dependencies, in e's place if e is still there.
func (m *memory) replace(e, n *entry) bool {
	found, ok := m.cache.ComputeIfPresent(m.place(e.key()), func(old *entry) (*entry, otter.ComputeOp) {
		if old != e {
			return old, otter.CancelOp
		}
		return n, otter.WriteOp
	})
	return ok && found == n
}

// removeEntry takes e out if it is still what its key leads to.
func (m *memory) removeEntry(e *entry) {
	m.cache.ComputeIfPresent(m.place(e.key()), func(old *entry) (*entry, otter.ComputeOp) {
		if old != e {
			return old, otter.CancelOp
		}
		return nil, otter.InvalidateOp
	})
}

// take takes out what key leads to, and returns it.
func (m *memory) take(key string) (taken *entry) {
	m.cache.ComputeIfPresent(m.place(key), func(old *entry) (*entry, otter.ComputeOp) {
		if old.key() != key {
			return old, otter.CancelOp
		}
		taken = old
		return nil, otter.InvalidateOp
	})
	return taken
}

// remove takes out whatever key leads to, with its variants and parts.
func (m *memory) remove(key string) {
	m.take(key + partSuffix)
	if e := m.take(key + querySuffix); e != nil && e.variants() != nil {
		for _, k := range e.variants().list() {
			m.remove(k)
		}
	}
	if e := m.take(key); e != nil && e.variants() != nil {
		for _, k := range e.variants().list() {
			m.take(k)
		}
	}
}

// removeAll takes out the entries that which is true of, and counts them.
func (m *memory) removeAll(which func(*entry) bool) int {
	n := 0
	for _, e := range m.cache.All() {
		if which(e) {
			m.removeEntry(e)
			n++
		}
	}
	return n
}

// marker makes key lead to its variants. One that names the same fields stays.
func (m *memory) marker(key string, names []string) *variants {
	e, _ := m.cache.Compute(m.place(key), func(old *entry, found bool) (*entry, otter.ComputeOp) {
		if found && old.key() == key && old.variants() != nil && equalNames(old.variants().names, names) {
			return old, otter.CancelOp
		}
		return newMarker(m, key, &apart{variants: &variants{names: names}}), otter.WriteOp
	})
	if e == nil || e.variants() == nil {
		return &variants{names: names}
	}
	return e.variants()
}

// searchMarker makes key lead to what No-Vary-Search says. It returns nil if
// there is something else in its place.
func (m *memory) searchMarker(key string) *searches {
	e, _ := m.cache.ComputeIfAbsent(m.place(key), func() (*entry, bool) {
		return newMarker(m, key, &apart{searches: &searches{}}), false
	})
	if e == nil || e.key() != key {
		return nil
	}
	return e.searches()
}

func equalNames(a, b []string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func (m *memory) bytes() uint64 { return m.cache.WeightedSize() }
func (m *memory) entries() int  { return m.cache.EstimatedSize() }

// close drops everything.
func (m *memory) close() {
	m.cache.InvalidateAll()
	m.cache.StopAllGoroutines()
}

// otterLog hands the cache's own complaints to the proxy's log.
type otterLog struct{ log *slog.Logger }

func (l otterLog) Warn(_ context.Context, msg string, err error) {
	l.log.Warn("memory tier", "message", msg, "error", err)
}

func (l otterLog) Error(_ context.Context, msg string, err error) {
	l.log.Error("memory tier", "message", msg, "error", err)
}

package store

import (
	"context"
	"hash/maphash"
	"iter"
	"log/slog"
	"sync/atomic"

	"github.com/maypok86/otter/v2"

	"walpurge/internal/coherence"
	"walpurge/internal/rfc9111"
)

// QuerySuffix makes the key of the marker that knows the questions about a
// target, so that an unsafe request can end their answers.
const QuerySuffix = "\nqueries"

// Memory is the memory tier: entries by key, bounded by their bytes. Lookups
// take no lock.
type Memory struct {
	cache *otter.Cache[place, *Entry]
	seed  maphash.Seed
	guard *coherence.Guard
	Now   func() coherence.Nanos // the process's clock
	door  *doorkeeper

	Compress bool // responses may be sent in other codings than the origin's

	groups groupIndex    // of entries without dependencies
	rules  atomic.Uint64 // the last number of a rule of No-Vary-Search
}

// place is where in the cache a key's entry is: the key's hash. An entry has its
// key already, and a second header of it in the cache's node would make that
// larger by a third. Two keys of one place take turns in it: whoever finds
// something there compares the key.
type place uint64

func (m *Memory) place(key string) place { return place(maphash.String(m.seed, key)) }

// New makes a memory tier of that many bytes, overhead included. guard is nil
// without PostgreSQL, now the clock of lifetimes.
func New(size int64, guard *coherence.Guard, now func() coherence.Nanos, log *slog.Logger) (*Memory, error) {
	m := &Memory{seed: maphash.MakeSeed(), guard: guard, Now: now, door: newDoorkeeper(size)}
	var err error
	m.cache, err = otter.New(&otter.Options[place, *Entry]{
		MaximumWeight:    uint64(size),
		Weigher:          func(_ place, e *Entry) uint32 { return e.Weight() },
		OnAtomicDeletion: m.deleted,
		Logger:           otterLog{log},
	})
	return m, err
}

// deleted ends the handle of an entry that leaves, whatever took it out. It
// runs under a lock of the cache; the guard never calls the cache under its
// own, so the order of the two is always this one.
func (m *Memory) deleted(ev otter.DeletionEvent[place, *Entry]) {
	if ev.Value.Guarded {
		m.guard.Close(&ev.Value.Handle)
	}
	if len(ev.Value.Groups()) > 0 {
		m.groups.remove(ev.Value)
	}
}

// Get finds an entry. It doesn't keep key.
func (m *Memory) Get(key []byte) *Entry {
	e, _ := m.cache.GetIfPresent(place(maphash.Bytes(m.seed, key)))
	if e == nil || e.Key() != string(key) {
		return nil
	}
	return e
}

// Peek finds an entry without counting as a use.
func (m *Memory) Peek(key string) *Entry {
	found, ok := m.cache.GetEntryQuietly(m.place(key))
	if !ok || found.Value.Key() != key {
		return nil
	}
	return found.Value
}

// Put stores an entry whose handle has been admitted. An entry that was
// touched between the admission and now is taken out again: the listener that
// marked it dead may have looked for it before it was there (R3).
func (m *Memory) Put(e *Entry) bool {
	if len(e.Groups()) > 0 && !m.groups.add(e, e.asked()) {
		return false
	}
	if !m.set(e) {
		return false
	}
	if e.Guarded && !e.Handle.Live() {
		m.RemoveEntry(e) // also what may be shown after a change: it was never shown before
		return false
	}
	if len(e.Groups()) > 0 && !m.groups.holds(e) { // ended between the two
		m.RemoveEntry(e)
		return false
	}
	return true
}

// set makes e what its key leads to. An error gives way to a page that may
// still be used.
func (m *Memory) set(e *Entry) bool {
	if !rfc9111.Fails(int(e.Status)) {
		m.cache.Set(m.place(e.Key()), e)
		return true
	}
	found, _ := m.cache.Compute(m.place(e.Key()), func(old *Entry, found bool) (*Entry, otter.ComputeOp) {
		if found && old.Key() == e.Key() && old.Outlasts(int(e.Status), m.Now()) {
			return old, otter.CancelOp
		}
		return e, otter.WriteOp
	})
	if found != e {
		m.groups.remove(e)
	}
	return found == e
}

// Replace puts n, which has no dependencies, in e's place if e is still there.
func (m *Memory) Replace(e, n *Entry) bool {
	found, ok := m.cache.ComputeIfPresent(m.place(e.Key()), func(old *Entry) (*Entry, otter.ComputeOp) {
		if old != e {
			return old, otter.CancelOp
		}
		return n, otter.WriteOp
	})
	return ok && found == n
}

// RemoveEntry takes e out if it is still what its key leads to.
func (m *Memory) RemoveEntry(e *Entry) {
	m.cache.ComputeIfPresent(m.place(e.Key()), func(old *Entry) (*Entry, otter.ComputeOp) {
		if old != e {
			return old, otter.CancelOp
		}
		return nil, otter.InvalidateOp
	})
}

// Take takes out what key leads to, and returns it.
func (m *Memory) Take(key string) (taken *Entry) {
	m.cache.ComputeIfPresent(m.place(key), func(old *Entry) (*Entry, otter.ComputeOp) {
		if old.Key() != key {
			return old, otter.CancelOp
		}
		taken = old
		return nil, otter.InvalidateOp
	})
	return taken
}

// Remove takes out whatever key leads to, with its variants and parts.
func (m *Memory) Remove(key string) {
	m.Take(key + PartSuffix)
	if e := m.Take(key + QuerySuffix); e != nil && e.Variants() != nil {
		for _, k := range e.Variants().List() {
			m.Remove(k)
		}
	}
	if e := m.Take(key); e != nil && e.Variants() != nil {
		for _, k := range e.Variants().List() {
			m.Take(k)
		}
	}
}

// RemoveAll takes out the entries that which is true of, and counts them.
func (m *Memory) RemoveAll(which func(*Entry) bool) int {
	n := 0
	for _, e := range m.cache.All() {
		if which(e) {
			m.RemoveEntry(e)
			n++
		}
	}
	return n
}

// Marker makes key lead to its variants. One that names the same fields stays.
func (m *Memory) Marker(key string, names []string) *Variants {
	e, _ := m.cache.Compute(m.place(key), func(old *Entry, found bool) (*Entry, otter.ComputeOp) {
		if found && old.Key() == key && old.Variants() != nil && equalNames(old.Variants().Names, names) {
			return old, otter.CancelOp
		}
		return newMarker(m, key, &Extras{variants: &Variants{Names: names}}), otter.WriteOp
	})
	if e == nil || e.Variants() == nil {
		return &Variants{Names: names}
	}
	return e.Variants()
}

// searchMarker makes key lead to what No-Vary-Search says. It returns nil if
// there is something else in its place.
func (m *Memory) searchMarker(key string) *searches {
	e, _ := m.cache.ComputeIfAbsent(m.place(key), func() (*Entry, bool) {
		return newMarker(m, key, &Extras{searches: &searches{}}), false
	})
	if e == nil || e.Key() != key {
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

// Bytes is the weight of what is stored, overhead included.
func (m *Memory) Bytes() uint64 { return m.cache.WeightedSize() }

// Entries is how many entries are stored, markers included.
func (m *Memory) Entries() int { return m.cache.EstimatedSize() }

// Close drops everything.
func (m *Memory) Close() {
	m.cache.InvalidateAll()
	m.cache.StopAllGoroutines()
}

// All iterates over what is stored, markers included.
func (m *Memory) All() iter.Seq[*Entry] {
	return func(yield func(*Entry) bool) {
		for _, e := range m.cache.All() {
			if !yield(e) {
				return
			}
		}
	}
}

// Empty drops everything, as a restart would.
func (m *Memory) Empty() { m.cache.InvalidateAll() }

// Settle does at once what the cache does a moment later.
func (m *Memory) Settle() { m.cache.CleanUp() }

// EndGroup takes out what is in a group of a key's origin.
func (m *Memory) EndGroup(key, name string) {
	for _, e := range m.groups.end(originOf(key)+"\n"+name, m.Now()) {
		m.RemoveEntry(e)
	}
}

// GroupCount is how many groups have members.
func (m *Memory) GroupCount() int {
	m.groups.mu.Lock()
	defer m.groups.mu.Unlock()
	return len(m.groups.mu.members)
}

// SearchKey is the key of all requests that a rule of No-Vary-Search takes for
// the same as that of key; empty if there is no room for the rule.
func (m *Memory) SearchKey(key string, rule rfc9111.Search) string {
	s := m.searchMarker(searchesOf(key))
	if s == nil {
		return ""
	}
	return s.add(rule, &m.rules).Key(key)
}

// otterLog hands the cache's own complaints to the proxy's log.
type otterLog struct{ log *slog.Logger }

// Warn implements otter.Logger.
func (l otterLog) Warn(_ context.Context, msg string, err error) {
	l.log.Warn("memory tier", "message", msg, "error", err)
}

// Error implements otter.Logger.
func (l otterLog) Error(_ context.Context, msg string, err error) {
	l.log.Error("memory tier", "message", msg, "error", err)
}

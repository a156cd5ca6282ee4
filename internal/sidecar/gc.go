package sidecar

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
)

// The room that the heap has beyond what is in use, before the collector runs again. Go's
// own rule is as much again as is in use (GOGC=100). What is in use is nearly all cache here,
// so that would double the process; and a small heap would be collected every thousand misses.
const (
	leastRoom = 32 << 20 // bytes
	roomShare = 4        // a quarter of what is in use

	// Whatever is in use, the runtime lets the heap grow to 4 MiB times GOGC/100, and before
	// the first collection nothing is known to be in use.
	leastHeap = 4 << 20
)

// gcPercent is the value of GOGC that gives a heap with so many bytes in use its room. Roots
// are the bytes of stacks and globals, of which GOGC is a percentage too (runtime/debug.SetGCPercent).
func gcPercent(live, roots uint64) int {
	room := max(leastRoom, live/roomShare)
	return int(max(1, 100*room/max(leastHeap, live+roots)))
}

// gcTuner keeps GOGC at gcPercent. It looks after each collection.
type gcTuner struct {
	samples [3]metrics.Sample

	mu      sync.Mutex
	percent int
	stopped bool
}

// tuneGC gives the heap its room until the returned function is called. Whoever has set
// GOGC has decided. GOMEMLIMIT holds in any case: the runtime collects at whichever comes first.
func tuneGC() (stop func()) {
	if os.Getenv("GOGC") != "" {
		return func() {}
	}
	t := &gcTuner{percent: 100}
	for i, name := range []string{"/gc/heap/live:bytes", "/gc/scan/stack:bytes", "/gc/scan/globals:bytes"} {
		t.samples[i].Name = name
	}
	before := debug.SetGCPercent(t.percent)
	t.tune()
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.stopped = true
		debug.SetGCPercent(before)
	}
}

// tune sets GOGC, and does so again after the next collection. What differs by less than a
// twentieth stays, since each setting stops the world for a moment.
func (t *gcTuner) tune() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.stopped {
		return
	}
	metrics.Read(t.samples[:])
	live, stacks, globals := t.samples[0].Value.Uint64(), t.samples[1].Value.Uint64(), t.samples[2].Value.Uint64()
	percent := gcPercent(live, stacks+globals)
	if d := percent - t.percent; 20*max(d, -d) > t.percent {
		t.percent = percent
		debug.SetGCPercent(percent)
	}
	// The next collection finds that nothing refers to this.
	runtime.AddCleanup(new([64]byte), (*gcTuner).tune, t)
}

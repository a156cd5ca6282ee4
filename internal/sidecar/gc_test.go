package sidecar

import (
	"runtime"
	"runtime/metrics"
	"testing"
	"time"
)

func TestGCPercent(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct {
		live, roots uint64
		percent     int
	}{
		{0, 0, 800}, // before the first collection: the heap may grow to 32 MiB, which is 4 MiB eight times
		{mib, mib, 800},
		{4 * mib, 0, 800},
		{32 * mib, 0, 100},
		{128 * mib, 0, 25},
		{1024 * mib, 0, 25},
		{1024 * mib, 1024 * mib, 12}, // many connections: the same room
		{16 * mib, 16 * mib, 100},
		{mib, 8192 * mib, 1},
	} {
		if got := gcPercent(c.live, c.roots); got != c.percent {
			t.Errorf("with %d MiB in use and %d MiB of roots GOGC is %d, want %d", c.live/mib, c.roots/mib, got, c.percent)
		}
	}
}

// gogc is the value of GOGC that counts now.
func gogc() int {
	sample := []metrics.Sample{{Name: "/gc/gogc:percent"}}
	metrics.Read(sample)
	return int(sample[0].Value.Uint64())
}

// awaitGOGC collects until the value is good.
func awaitGOGC(t *testing.T, what string, good func(percent int) bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !good(gogc()) {
		if time.Now().After(deadline) {
			t.Fatalf("with %s GOGC stays at %d", what, gogc())
		}
		runtime.GC()
	}
}

func aQuarter(percent int) bool { return 20 <= percent && percent <= 26 }

// The heap's room follows what is in use: a quarter of a large heap, more than all of a small one.
func TestGCFollowsTheHeap(t *testing.T) {
	t.Setenv("GOGC", "")
	before := gogc()
	stop := tuneGC()
	defer stop()
	large := make([]byte, 192<<20)
	awaitGOGC(t, "192 MiB in use", aQuarter)
	runtime.KeepAlive(large)
	large = nil
	awaitGOGC(t, "little in use", func(percent int) bool { return percent > 26 })
	stop()
	if got := gogc(); got != before {
		t.Errorf("afterwards GOGC is %d, not %d as before", got, before)
	}
}

// Whoever has set GOGC has decided.
func TestGOGCFromOutsideStays(t *testing.T) {
	t.Setenv("GOGC", "73") // too late for the runtime, which has read it
	before := gogc()
	defer tuneGC()()
	runtime.GC()
	if got := gogc(); got != before {
		t.Errorf("GOGC was set from outside, and is %d now", got)
	}
}

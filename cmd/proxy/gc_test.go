package main

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
		{0, 0, 100 * leastRoom},
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

// The heap's room follows what is in use: a quarter of a large heap, more than all of a small one.
func TestGCFollowsTheHeap(t *testing.T) {
	t.Setenv("GOGC", "")
	gogc := func() int {
		sample := []metrics.Sample{{Name: "/gc/gogc:percent"}}
		metrics.Read(sample)
		return int(sample[0].Value.Uint64())
	}
	before := gogc()
	stop := tuneGC()
	defer stop()
	await := func(what string, good func(percent int) bool) {
		t.Helper()
		deadline := time.Now().Add(30 * time.Second)
		for !good(gogc()) {
			if time.Now().After(deadline) {
				t.Fatalf("with %s GOGC stays at %d", what, gogc())
			}
			runtime.GC()
		}
	}
	large := make([]byte, 192<<20)
	await("192 MiB in use", func(percent int) bool { return 20 <= percent && percent <= 26 })
	runtime.KeepAlive(large)
	large = nil
	await("little in use", func(percent int) bool { return percent > 26 })
	stop()
	if got := gogc(); got != before {
		t.Errorf("afterwards GOGC is %d, not %d as before", got, before)
	}

	t.Setenv("GOGC", "73")
	defer tuneGC()()
	runtime.GC()
	if got := gogc(); got != before {
		t.Errorf("GOGC was set from outside, and is %d now", got)
	}
}

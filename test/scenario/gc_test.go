package scenario

import (
	"runtime"
	"runtime/metrics"
	"testing"
	"time"

	"walpurge/test/rig"
)

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

// OPERATIONS says what memory a running proxy takes beyond its cache.
func TestRunningProxyLeavesTheHeapAQuarter(t *testing.T) {
	t.Setenv("GOGC", "")
	before := gogc()
	large := make([]byte, 192<<20)
	r := rig.New(t, rig.Options{})
	awaitGOGC(t, "192 MiB in use", aQuarter)
	runtime.KeepAlive(large)
	if err := r.Stop(); err != nil {
		t.Fatal(err)
	}
	if got := gogc(); got != before {
		t.Errorf("afterwards GOGC is %d, not %d as before", got, before)
	}
}

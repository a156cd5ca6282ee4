package proxycache

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"unsafe"

	"walpurge/internal/coherence"
	"walpurge/internal/proxycache/store"
)

// TestTopKeysFindsWhatIsAskedForMost among many more URLs than it has room for.
func TestTopKeysFindsWhatIsAskedForMost(t *testing.T) {
	var top topKeys
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 10 * topWindow {
		key := fmt.Sprintf("http://shop/rare/%d", r.IntN(100_000))
		switch n := r.IntN(100); {
		case n < 30:
			key = "http://shop/first\nvary\naccept-language=de"
		case n < 45:
			key = "http://shop/second"
		case n < 50:
			key = "http://shop/third"
		}
		top.sample(key, i%2 == 0, 1, coherence.Nanos(i))
	}
	got := top.list(3)
	for i, want := range []struct {
		url   string
		share float64
	}{{"http://shop/first", .30}, {"http://shop/second", .15}, {"http://shop/third", .05}} {
		if got[i].URL != want.url || got[i].Share < want.share-.03 || got[i].Share > want.share+.03 || got[i].Hits < .4 || got[i].Hits > .6 {
			t.Errorf("place %d: %+v, want %+v", i+1, got[i], want)
		}
	}
}

func TestTopKeysForget(t *testing.T) {
	var top topKeys
	for i := range 20 * topWindow {
		key := "http://shop/yesterday"
		if i >= 4*topWindow {
			key = "http://shop/today"
		}
		top.sample(key, true, 1, 0)
	}
	if got := top.list(5); len(got) != 1 || got[0].URL != "http://shop/today" || got[0].Share < .99 {
		t.Fatalf("%+v", got)
	}
}

// TestTopKeysLookLessOftenUnderLoad: the stride follows the rate, within bounds.
func TestTopKeysLookLessOftenUnderLoad(t *testing.T) {
	var top topKeys
	window := func(took coherence.Nanos) uint32 {
		end := top.mu.halved + took
		for range topWindow {
			top.sample("http://shop/", true, 1, end)
		}
		return top.stride.Load()
	}
	for want := uint32(2); want <= topStride; want *= 2 {
		if got := window(topFastWindow - 1); got != want {
			t.Fatalf("stride %d, want %d", got, want)
		}
	}
	if got := window(1); got != topStride {
		t.Fatalf("stride %d, want at most %d", got, topStride)
	}
	if got := window(topFastWindow); got != topStride {
		t.Fatalf("stride %d at a good pace, want it unchanged", got)
	}
	for want := uint32(topStride / 2); want >= 1; want /= 2 {
		if got := window(topSlowWindow + 1); got != want {
			t.Fatalf("stride %d, want %d", got, want)
		}
	}
	if got := window(topSlowWindow + 1); got != 1 {
		t.Fatalf("stride %d, want at least 1", got)
	}
}

func TestTopKeysAreBounded(t *testing.T) {
	var top topKeys
	top.sample("http://shop/"+strings.Repeat("x", topLongest), true, 1, 0)
	if got := top.list(1); len(got) != 0 {
		t.Fatalf("a long URL is kept: %.40s", got[0].URL)
	}
	keys := make([]string, 2*topSlots)
	for i := range keys {
		keys[i] = fmt.Sprint("http://shop/", i)
	}
	if n := testing.AllocsPerRun(100, func() {
		for _, key := range keys {
			top.sample(key, true, 1, 0)
		}
	}); n > 0 && !raceEnabled {
		t.Errorf("%v allocations", n)
	}
	if n := len(top.list(1000)); n > topSlots {
		t.Errorf("%d URLs", n)
	}
}

// A key is a part of what the entry holds, which may be large and gone soon.
func TestTopKeysHoldNoResponse(t *testing.T) {
	var top topKeys
	e := &store.Entry{}
	e.SetKey("http://a.test/b")
	top.note(e.Key(), true, 1)
	if got := top.mu.slots[0].url; string(got) != e.Key() || unsafe.SliceData(got) == unsafe.StringData(e.Packed.S) {
		t.Errorf("%q lies in the entry's text", got)
	}
}

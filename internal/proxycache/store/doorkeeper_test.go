package store

import (
	"log/slog"
	"math/rand/v2"
	"testing"

	"walpurge/internal/coherence"
)

// Whatever is asked about twice within a quarter as many questions as there are
// slots is let in nearly always; what comes once never is.
func TestDoorkeeperLetsInWhatComesTwice(t *testing.T) {
	d := newDoorkeeper(64 << 20)
	random := rand.New(rand.NewPCG(1, 2))
	for range 10 * len(d.slots) {
		if at := place(random.Uint64()); d.again(at) {
			t.Fatalf("%x was let in at once", at)
		}
	}
	in, tries := 0, 2000
	for range tries {
		at := place(random.Uint64())
		d.again(at)
		for range len(d.slots) / 4 / 64 {
			d.again(place(random.Uint64()))
		}
		if d.again(at) {
			in++
			if d.again(at) {
				t.Fatalf("%x was let in twice in a row", at)
			}
		}
	}
	t.Logf("%d of %d were let in the second time", in, tries)
	if in < tries*99/100 {
		t.Errorf("%d of %d were let in the second time", in, tries)
	}
}

// The tier is full from seven eighths on, and isn't any more when it was
// emptied. That is found out with a pause between.
func TestDoorkeeperLooksWhetherThereIsRoom(t *testing.T) {
	now := doorLook
	m, err := New(1<<20, nil, func() coherence.Nanos { return now }, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	if !m.Worth("a", true) || m.Worth("a", false) {
		t.Error("an empty tier takes what its reader brings, and that once")
	}
	for i := range 100 {
		e := &Entry{Memory: m, Body: make([]byte, 9<<10)}
		e.SetKey(string(rune('a' + i)))
		m.Put(e)
	}
	m.cache.CleanUp() // it would count them a moment later
	if !m.Worth("b", true) {
		t.Error("it was looked again at once")
	}
	now += doorLook
	if m.Worth("b", true) || !m.Worth("b", true) {
		t.Errorf("a full tier, of %d bytes, takes what comes twice", m.Bytes())
	}
	m.cache.InvalidateAll()
	now += doorLook
	if !m.Worth("c", true) {
		t.Error("an emptied tier has room")
	}
}

package live

import (
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"walpurge/internal/coherence"
	"walpurge/internal/proxycache/depends"
	"walpurge/internal/proxycache/route"
	"walpurge/internal/proxycache/store"
)

// TestWhatWasStoredAfterTheChangeTellsNothing: the page may have shown something else before, which the change
// has touched. Nor do positions of two epochs compare.
func TestWhatWasStoredAfterTheChangeTellsNothing(t *testing.T) {
	guard, err := coherence.New(coherence.Config{Tables: []coherence.Table{{Name: "public.listings", Columns: []coherence.Column{{Name: "id", Kind: coherence.Integer}}}}})
	if err != nil {
		t.Fatal(err)
	}
	memory, err := store.New(1<<20, guard, func() coherence.Nanos { return 0 }, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(memory.Close)
	said, err := route.New(route.Declaration{Pattern: "/said", Declared: true, MaxLag: time.Hour}, guard)
	if err != nil {
		t.Fatal(err)
	}
	const key = "http://a/said"
	keep := func() {
		memory.Remove(key)
		e := &store.Entry{Memory: memory, Route: said, Guarded: true, Status: 200, Fresh: coherence.Nanos(time.Hour)}
		e.SetKey(key)
		row := coherence.Template{Equal: []coherence.Equal{{Column: 0}}}
		guard.Open(&e.Handle, e, guard.Bind(&row, []coherence.Operand{{Present: true, Values: []string{"5"}}}, nil))
		if !guard.Admit(&e.Handle, e) || !memory.Put(e) {
			t.Fatal("it isn't kept")
		}
	}
	at := coherence.LSN(100)
	tx := coherence.NewTransaction(guard.Tables(), 10)
	commit := func(id string) {
		row := []coherence.Value{{State: coherence.Known, Text: []byte(id)}}
		tx.Begin(uint32(at), at, time.Time{})
		tx.Append(0, coherence.Insert, nil, row, coherence.AnyColumn)
		tx.Commit(at + 5)
		guard.Apply(tx)
		guard.SettleTo(at + 5)
		at += 10
	}
	guard.Reset(1, at)
	w := &Subscriber{
		feed: New(guard, memory, prometheus.NewRegistry()),
		Page: Page{Route: said, Shown: &depends.Subject{Params: said.Params, Path: []byte("/said")}, Key: key},
	}
	for name, c := range map[string]struct {
		after   func() // the change
		unheard bool
	}{
		"stored before": {func() {}, true},
		"stored after":  {func() { commit("5"); keep() }, false},
		"another epoch": {func() { guard.Reset(guard.Epoch()+1, 100); at = 110; keep() }, false},
	} {
		keep()
		w.watch = &watch{touched: make(chan struct{}), guessed: true}
		guard.Observe(&w.watch.handle, w.watch, []coherence.Dependency{guard.Anything()})
		commit("1")
		<-w.watch.touched
		c.after()
		if unheard := w.renew(); unheard != c.unheard {
			t.Errorf("%s: the page is told: %t", name, !unheard)
		}
		w.end()
	}
}

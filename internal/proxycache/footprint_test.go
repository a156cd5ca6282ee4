package proxycache

import (
	"net/http"
	"runtime"
	"strconv"
	"testing"
	"time"

	"walpurge/internal/coherence"
	"walpurge/internal/http1"
	"walpurge/internal/proxycache/route"
	"walpurge/internal/proxycache/store"
)

// dependence is what the responses of a footprint depend on.
type dependence int

const (
	onNothing dependence = iota
	onRow
	onRange // of rows with one value, as ten pages of a list do
)

// footprint stores n small responses as fills do, and tells what each costs on
// the heap beyond the bytes that it holds: its key, its body and its head as
// clients get it.
func footprint(t testing.TB, n int, depends dependence, asked bool) float64 {
	r := newRig(t, func(_ *rig, o *Options) { o.Memory = 4 << 30 })
	p := r.proxy
	table, ok := p.opt.Guard.Table("public.listings")
	if !ok {
		t.Fatal("no table to depend on")
	}
	template := coherence.Template{Table: table, Equal: []coherence.Equal{{Column: 0}}}
	price := p.opt.Guard.Tables()[table].Column("price")
	if depends == onRange {
		template.Ranges = []int{price}
	}
	rt := p.plain
	if asked {
		rt = &route.Route{Guarded: true}
	}
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before, held := heap(), 0
	for i := range n {
		id := strconv.Itoa(i)
		e := &store.Entry{
			Memory: p.memory, Route: rt, Guarded: depends != onNothing, Status: http.StatusOK,
			Fresh: coherence.Nanos(time.Hour), Body: []byte(`{"id":` + id + `,"price":"100.00"}`),
		}
		e.SetKey("http://shop.example/api/listings/" + id)
		e.SetHead(http1.FinishHead([]byte("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"), http.StatusOK, len(e.Body)))
		p.memory.Finish(e)
		if depends != onNothing {
			var ranges []coherence.Bounds
			value := id
			if depends == onRange {
				ranges = []coherence.Bounds{{From: coherence.Operand{Present: true, Values: []string{id + ".50"}}}}
				value = strconv.Itoa(i / 10) // pages of one list
			}
			deps := p.opt.Guard.Bind(&template, []coherence.Operand{{Present: true, Values: []string{value}}}, ranges)
			if !p.opt.Guard.Open(&e.Handle, e, deps) || !p.opt.Guard.Admit(&e.Handle, e) {
				t.Fatal("not admitted")
			}
		}
		if !p.memory.Put(e) {
			t.Fatal("not stored")
		}
		held += len(e.Key()) + len(e.Body) + len(e.Sent())
	}
	p.memory.Settle()
	after := heap()
	if got := p.memory.Entries(); got != n {
		t.Fatal(got, "entries")
	}
	runtime.KeepAlive(r)
	return (float64(after) - float64(before) - float64(held)) / float64(n)
}

// What an entry costs beside its bytes decides how many fit; entryOverhead is
// what the weights say: more, for a cache's hash table that is emptier. The
// heap is counted, so the numbers are this program's and not the machine's.
func TestEntryFootprint(t *testing.T) {
	if raceEnabled {
		t.Log("the race detector's heap is another: only a few entries are stored")
	}
	for _, c := range []struct {
		name    string
		depends dependence
		asked   bool // clients are to ask each time: they get another head than the stored one
		most    float64
	}{
		{"without dependencies", onNothing, false, 260},
		{"with one dependency", onRow, false, 316},
		{"with one dependency that has a range", onRange, false, 480},
		{"with one dependency and a head of its own for clients", onRow, true, 322},
	} {
		n := 200_000
		if raceEnabled {
			n = 2_000
		}
		got := footprint(t, n, c.depends, c.asked)
		t.Logf("%s: %.0f bytes an entry beyond its own", c.name, got)
		if got > c.most && !raceEnabled {
			t.Errorf("%s: %.0f bytes an entry beyond its own, want at most %.0f", c.name, got, c.most)
		}
	}
}

package proxycache

import (
	"strconv"
	"testing"
	"time"

	"walpurge/internal/coherence"
	"walpurge/internal/http1"
	"walpurge/internal/proxycache/outcome"
	"walpurge/internal/proxycache/route"
	"walpurge/internal/proxycache/store"
)

// hitSteps are the steps of a hit, each by itself, with n responses stored.
type hitSteps struct {
	proxy   *Proxy
	request *http1.Request
	key     []byte
	entry   *store.Entry
}

func newHitSteps(t testing.TB, n int) *hitSteps {
	r := newRig(t, func(_ *rig, o *Options) { o.Memory = 8 << 30 })
	s := &hitSteps{proxy: r.proxy}
	for i := range n {
		e := &store.Entry{
			Memory: s.proxy.memory, Route: s.proxy.plain, Status: 200, Fresh: coherence.Nanos(time.Hour), Body: []byte("ok"),
		}
		e.SetKey("http://shop.example/api/listings/" + strconv.Itoa(i))
		e.SetHead([]byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"))
		s.proxy.memory.Finish(e)
		if !s.proxy.memory.Put(e) {
			t.Fatal("not stored")
		}
	}
	var err error
	if s.request, err = http1.NewRequest([]byte("GET /api/listings/0 HTTP/1.1\r\nHost: shop.example\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	s.makeKey()
	if s.lookup(); s.entry == nil {
		t.Fatal("not found by ", string(s.key))
	}
	return s
}

func (s *hitSteps) makeKey() {
	path, query, has := http1.SplitTarget(s.request)
	s.key, _ = route.AppendKey(s.key[:0], false, s.request, nil, s.proxy.plain, path, query, has)
}

func (s *hitSteps) match() {
	var asks route.Asked
	path, query, has := http1.SplitTarget(s.request)
	s.proxy.routing.Load().Read(&asks, path, query, has)
}

func (s *hitSteps) lookup() { s.entry = s.proxy.memory.Get(s.key) }

func (s *hitSteps) form() { _ = s.entry.Form(s.request) }

func (s *hitSteps) count() {
	s.proxy.plain.Counters[outcome.Hit].Count(coherence.Nanos(20 * time.Microsecond))
}

// Every step of a hit allocates nothing; the whole of it is measured by
// TestHitAllocatesNothing.
func TestStepsOfAHitAllocateNothing(t *testing.T) {
	s := newHitSteps(t, 1000)
	for name, step := range map[string]func(){
		"key": s.makeKey, "match": s.match, "lookup": s.lookup, "form": s.form, "count": s.count,
	} {
		if n := testing.AllocsPerRun(1000, step); n != 0 && !raceEnabled {
			t.Errorf("%s: %.0f allocations", name, n)
		}
	}
}

// BenchmarkSteps is what each step of a hit costs; of the lookup, with what it
// is for, the head, also with a million stored, each asked for in its turn, so
// that nothing is in the processor's caches.
func BenchmarkSteps(b *testing.B) {
	s := newHitSteps(b, 1000)
	for _, step := range []struct {
		name string
		run  func()
	}{{"key", s.makeKey}, {"match", s.match}, {"form", s.form}, {"count", s.count}} {
		b.Run(step.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				step.run()
			}
		})
	}
	for _, n := range []int{1000, 1_000_000} {
		b.Run("lookup/"+strconv.Itoa(n), func(b *testing.B) {
			s := newHitSteps(b, n)
			prefix := append([]byte(nil), s.key[:len(s.key)-1]...)
			var sent []byte
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				s.key = strconv.AppendInt(append(s.key[:0], prefix...), int64(i*7919%n), 10)
				if s.lookup(); s.entry == nil {
					b.Fatal("not found")
				}
				sent = append(sent[:0], s.entry.Plain().Head...)
			}
		})
	}
}

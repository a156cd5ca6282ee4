package coherence

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

type fatal interface{ Fatalf(string, ...any) }

// check looks at every tree.
func (b *byRange) check(t fatal) {
	trees := map[uint16]int{}
	for tag, tree := range b.trees {
		trees[tag.column]++
		if tree.check(t) == 0 {
			t.Fatalf("an empty tree is kept")
		}
	}
	for _, c := range b.bounds {
		if c.trees != trees[c.column] {
			t.Fatalf("%d trees of column %d, counted are %d", trees[c.column], c.column, c.trees)
		}
	}
}

// check looks at every page, and returns how many nodes there are.
func (r *ranges) check(t fatal) (nodes int) {
	depth := -1
	var last *interval
	var look func(p *page, at int) (low, high interval)
	look = func(p *page, at int) (low, high interval) {
		if p.inner == nil {
			if depth >= 0 && at != depth {
				t.Fatalf("leaves %d and %d deep", depth, at)
			}
			depth = at
			for i := range p.items {
				it := &p.items[i]
				key := it.interval()
				if own := it.head.bounded().interval(); own.from != it.from || own.to != it.to {
					t.Fatalf("an item has other prefixes than its range")
				}
				if last != nil && last.compare(&key) >= 0 {
					t.Fatalf("%q is not before %q", last.ends, key.ends)
				}
				last = &key
				if it.head.prev != nil {
					t.Fatalf("something comes before a first node")
				}
				for n := it.head; n != nil; n = n.next {
					nodes++
					if other := n.bounded().interval(); key.compare(&other) != 0 || n.next != nil && n.next.prev != n {
						t.Fatalf("the list of %q is broken", key.ends)
					}
				}
				if i == 0 {
					low, high = key, key
				} else if key.compareTo(&high) > 0 {
					high = key
				}
			}
			return low, high
		}
		in := p.inner
		for i := range in.count {
			b := &in.branches[i]
			if b.page.size() == 0 || b.page.size() > b.page.room() {
				t.Fatalf("a page with %d", b.page.size())
			}
			l, h := look(&b.page, at+1)
			if known := b.low.interval(); known.compare(&l) != 0 || in.from[i] != l.from {
				t.Fatalf("the lowest below a branch is %q, it says %q", l.ends, b.low.ends)
			}
			if known := b.high.interval(); known.compareTo(&h) != 0 || in.to[i] != h.to {
				t.Fatalf("the highest end below a branch is of %q, it says %q", h.ends, b.high.ends)
			}
			if i == 0 {
				low, high = l, h
			} else if h.compareTo(&high) > 0 {
				high = h
			}
		}
		for i := in.count; i < pageBranches; i++ {
			if in.branches[i].page.items != nil || in.branches[i].page.inner != nil || in.branches[i].low != nil {
				t.Fatalf("a branch is left behind the last")
			}
		}
		return low, high
	}
	if r.root.size() > 0 {
		look(&r.root, 0)
	}
	return nodes
}

// values are as many spellings of each kind as there are ways in which forms can be near each other.
var orderedValues = map[Kind][]string{
	Integer:     {"-9223372036854775808", "-70000", "-1", "0", "1", "2", "255", "256", "70000", "9223372036854775807"},
	Int2:        {"-32768", "-1", "0", "1", "32767"},
	Int4:        {"-2147483648", "-1", "0", "1", "2147483647"},
	OID:         {"0", "1", "4294967295"},
	Numeric:     {"-123456789012345.6", "-123456789012345.5", "-10", "-9.99", "-1", "-0.001", "0", "0.0001", "0.5", "1", "1.5", "9.99", "10", "99999999999", "999999999990", "123456789012", "123456789012.1", "123456789012.2", "1" + strings.Repeat("0", 140_000), "1" + strings.Repeat("0", 140_001)},
	UUID:        {"00000000-0000-0000-0000-000000000000", "00000000-0000-0000-0000-000000000001", "00000000-0000-0000-8000-000000000000", "7fffffff-ffff-ffff-ffff-ffffffffffff", "ffffffff-ffff-ffff-ffff-ffffffffffff"},
	Boolean:     {"f", "t"},
	Date:        {"0001-01-01", "1999-12-31", "2000-01-01", "2025-11-10", "9999-12-31"},
	Timestamp:   {"0001-01-01 00:00:00", "2025-11-10 09:12:44", "2025-11-10 09:12:44.000001", "2025-11-10 09:12:45"},
	TimestampTZ: {"2025-11-10 09:12:44+00", "2025-11-10 09:12:44.5+00", "2025-11-10 09:12:45+00"},
	ByteText:    {"a", "aaaaaaaa", "aaaaaaaab", "aaaaaaaac", "aaaaaaaacc", "b", "\xff\xff\xff\xff\xff\xff\xff\xff", "\xff\xff\xff\xff\xff\xff\xff\xff\xff"},
}

// TestPrefixesSortAsTheirForms: for every ordered kind.
func TestPrefixesSortAsTheirForms(t *testing.T) {
	for kind := range Kind(len(kindNames)) {
		if kind.Ordered() != (orderedValues[kind] != nil) {
			t.Fatalf("values of %s are wanted: %t", kind, kind.Ordered())
		}
		all := orderedValues[kind]
		for i, a := range all {
			x, ok := kind.canonical(nil, []byte(a))
			if !ok {
				t.Fatalf("%s has no form of %q", kind, a)
			}
			if i > 0 && kind != ByteText && i < 10 { // far ones share a prefix
				y, _ := kind.canonical(nil, []byte(all[i-1]))
				if kind != UUID && kind != Numeric && prefix(kind, x) <= prefix(kind, y) {
					t.Errorf("%s: %s has no greater prefix than %s", kind, a, all[i-1])
				}
			}
			for _, b := range all {
				y, _ := kind.canonical(nil, []byte(b))
				if bytes.Compare(x, y) < 0 && prefix(kind, x) > prefix(kind, y) {
					t.Errorf("%s: %.40s < %.40s, but the prefixes are %x and %x", kind, a, b, prefix(kind, x), prefix(kind, y))
				}
				if prefix(kind, x) != prefix(kind, string(x)) {
					t.Errorf("%s: two prefixes of %.40s", kind, a)
				}
			}
		}
	}
	for a, b := range map[string]string{"-2": "-1", "-1": "0", "0": "0.01", "1": "2", "9": "10", "12345678901": "12345678902", "0.12345678901": "0.12345678902"} {
		x, _ := Numeric.canonical(nil, []byte(a))
		y, _ := Numeric.canonical(nil, []byte(b))
		if prefix(Numeric, x) >= prefix(Numeric, y) {
			t.Errorf("%s has the prefix %x, %s %x", a, prefix(Numeric, x), b, prefix(Numeric, y))
		}
	}
}

// TestRangesAreFoundInAnyOrder: whatever order ranges come and go in, the tree holds just those that are there, and
// finds just those that hold a value. Few values make ranges that are equal, many make the tree deep.
func TestRangesAreFoundInAnyOrder(t *testing.T) {
	kinds := slices.Sorted(maps.Keys(orderedValues))
	rapid.Check(t, func(t *rapid.T) {
		kind := rapid.SampledFrom(kinds).Draw(t, "kind")
		few := rapid.Bool().Draw(t, "few values")
		value := func(t *rapid.T, name string) string {
			if few || kind != Integer && kind != Numeric && kind != ByteText {
				return rapid.SampledFrom(orderedValues[kind]).Draw(t, name)
			}
			return strconv.Itoa(rapid.IntRange(1000, 9999).Draw(t, name))
		}
		table := &Table{Columns: []Column{{Kind: kind}}}
		var tree ranges
		var in []*node
		t.Repeat(map[string]func(*rapid.T){
			"insert": func(t *rapid.T) {
				for range rapid.SampledFrom([]int{1, 5, 300}).Draw(t, "ranges") {
					var b Bounds
					if !rapid.Bool().Draw(t, "open below") {
						b.From = Operand{true, []string{value(t, "from")}}
					}
					if !rapid.Bool().Draw(t, "open above") {
						b.To = Operand{true, []string{value(t, "to")}}
					}
					bound, ok := bind(table, 0, b)
					if !ok {
						continue
					}
					n := &node{dep: Dependency{more: &more{ranges: []bounded{bound}}}}
					tree.insert(n)
					in = append(in, n)
				}
			},
			"remove": func(t *rapid.T) {
				for range min(len(in), rapid.SampledFrom([]int{1, 5, 400}).Draw(t, "ranges")) {
					i := rapid.IntRange(0, len(in)-1).Draw(t, "range")
					n := in[i]
					tree.remove(n)
					if n.next != nil || n.prev != nil {
						t.Fatalf("what is removed still points into the tree")
					}
					in[i] = in[len(in)-1]
					in = in[:len(in)-1]
				}
			},
			"": func(t *rapid.T) {
				if got := tree.check(t); got != len(in) {
					t.Fatalf("the tree has %d nodes, want %d", got, len(in))
				}
				said := value(t, "value")
				form, _ := kind.canonical(nil, []byte(said))
				found := tree.root.holding(nil, prefix(kind, form), form)
				want := 0
				for _, n := range in {
					if n.bounded().holds(form) {
						want++
						if !slices.Contains(found, n) {
							t.Fatalf("%s lies in %s, which isn't found", said, hex.EncodeToString([]byte(n.bounded().ends)))
						}
					}
				}
				if len(found) != want {
					t.Fatalf("%s lies in %d ranges, %d are found", said, want, len(found))
				}
			},
		})
	})
}

// TestTreeOfRangesGrowsAndShrinks over several levels, and ends with nothing.
func TestTreeOfRangesGrowsAndShrinks(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	table := &Table{Columns: []Column{{Kind: Integer}}}
	var tree ranges
	nodes := make([]node, 60_000)
	for i := range nodes {
		from := random.IntN(1_000_000)
		b, _ := bind(table, 0, Bounds{Operand{true, []string{strconv.Itoa(from)}}, Operand{true, []string{strconv.Itoa(from + random.IntN(100))}}})
		nodes[i].dep.more = &more{ranges: []bounded{b}}
		tree.insert(&nodes[i])
	}
	depth := func() (n int) {
		for p := &tree.root; p.inner != nil; p = &p.inner.branches[0].page {
			n++
		}
		return n
	}
	if n := tree.check(t); n != len(nodes) || depth() < 2 || depth() > 3 {
		t.Fatalf("%d nodes, %d levels above the leaves", n, depth())
	}
	for done, i := range random.Perm(len(nodes)) {
		tree.remove(&nodes[i])
		if done%10_000 == 0 {
			tree.check(t)
		}
		if done == len(nodes)-100 && depth() > 1 {
			t.Errorf("%d levels above the leaves for 100 ranges", depth())
		}
	}
	if tree.root.size() != 0 || tree.root.inner != nil {
		t.Error("something is left")
	}
}

// TestRangesOfAShape: a row finds the responses whose conditions it satisfies and no others, where some have no range,
// some one and some two, on columns of their own; values that are unknown, NULL or without a rule count as they did.
func TestRangesOfAShape(t *testing.T) {
	tables := []Table{{Name: "public.listings", Columns: []Column{{Name: "city", Kind: Text}, {Name: "price", Kind: Numeric}, {Name: "created_at", Kind: Date}}}}
	template := Template{Equal: []Equal{{Column: 0}}, Ranges: []int{1, 2}}
	rapid.Check(t, func(t *rapid.T) {
		g, err := New(Config{Tables: tables})
		if err != nil {
			t.Fatal(err)
		}
		g.Reset(1, 1)
		end := func(name string, values ...string) Operand {
			v := rapid.SampledFrom(append(values, "")).Draw(t, name)
			return Operand{v != "", []string{v}}
		}
		prices, dates := []string{"1", "5", "10", "200"}, []string{"2025-01-01", "2025-01-02", "2025-02-01"}
		type response struct {
			benchHolder
			dep Dependency
		}
		var all []*response
		for range rapid.IntRange(1, 60).Draw(t, "responses") {
			r := &response{}
			city := Operand{true, []string{rapid.SampledFrom([]string{"Lagos", "Quito"}).Draw(t, "city")}}
			deps := g.Bind(&template, []Operand{city}, []Bounds{{end("from", prices...), end("to", prices...)}, {end("since", dates...), end("until", dates...)}})
			r.dep = deps[0]
			if !g.Open(&r.handle, r, deps) || !g.Admit(&r.handle, r) {
				t.Fatal("not admitted")
			}
			all = append(all, r)
		}
		value := func(name string, values ...string) Value {
			v := rapid.SampledFrom(append(values, "NULL", "unknown")).Draw(t, name)
			switch v {
			case "NULL":
				return Value{State: Null}
			case "unknown":
				return Value{}
			}
			return Value{Known, []byte(v)}
		}
		new := []Value{value("row's city", "Lagos", "Quito"), value("row's price", "NaN", "1", "4", "5", "300"), value("row's date", "infinity", "2025-01-01", "2025-01-15")}
		tx := NewTransaction(tables, 10)
		tx.Begin(1, 10, time.Time{})
		tx.Append(0, Insert, nil, new, AnyColumn)
		tx.Commit(20)
		g.Apply(tx)
		var row row
		row.reset(&tables[0], tx, tx.Changes[0].new)
		left := 0
		for _, r := range all {
			known, ok := []uint64{0}, []bool{false}
			_, v := row.tag(r.dep.shape, known, ok)
			touched := v != no && r.dep.agrees(known, ok) && row.inside(r.dep.more)
			if r.handle.Live() == touched {
				t.Fatalf("%v: live is %t, touched %t", new, r.handle.Live(), touched)
			}
			if !touched {
				left++
			}
		}
		if n := g.Handles(); n != left {
			t.Fatalf("%d are left, want %d", n, left)
		}
		for _, s := range g.shapes[0] {
			s.byValue.check(t)
			s.byRange.check(t)
		}
		for _, r := range all {
			g.Close(&r.handle)
		}
		for _, s := range g.shapes[0] {
			if len(s.trees) != 0 {
				t.Fatal("a tree is left")
			}
		}
	})
}

// TestFindingRangesAllocatesNothing, save for what grows the first time.
func TestFindingRangesAllocatesNothing(t *testing.T) {
	g, tx := benchGuard(t)
	holders := make([]benchHolder, 1000)
	for i := range holders {
		h := &holders[i]
		g.Open(&h.handle, h, g.Bind(&benchList, []Operand{{true, []string{"Lagos"}}, {}}, []Bounds{{Operand{true, []string{strconv.Itoa(i)}}, Operand{true, []string{strconv.Itoa(i + 5)}}}}))
	}
	row := benchRow(1, "Lagos", "house", 5000)
	lsn := LSN(10)
	got := testing.AllocsPerRun(100, func() {
		tx.Begin(uint32(lsn), lsn, time.Time{})
		tx.Append(0, Update, row, row, ColumnSet(1<<3))
		tx.Commit(lsn + 5)
		lsn += 10
		g.Apply(tx)
		g.Settle(Snapshot{XMax: uint64(lsn) + 1})
	})
	if got != 0 && !raceEnabled {
		t.Errorf("%.0f allocations", got)
	}
	if n := g.Handles(); n != len(holders) {
		t.Fatal(fmt.Sprint(n, " are left"))
	}
}

// told counts how often its holder was evicted.
type told struct {
	benchHolder
	times int
}

func (h *told) Evicted(Cause) { h.times++ }

// TestResponseInTwoRangesIsPurgedOnce: two of its ranges hold the row.
func TestResponseInTwoRangesIsPurgedOnce(t *testing.T) {
	g, tx := benchGuard(t)
	end := func(v string) Operand { return Operand{true, []string{v}} }
	lagos := []Operand{{true, []string{"Lagos"}}, {}}
	deps := append(g.Bind(&benchList, lagos, []Bounds{{end("1"), end("10")}}), g.Bind(&benchList, lagos, []Bounds{{end("5"), end("20")}})...)
	h := &told{}
	if !g.Open(&h.handle, h, deps) || !g.Admit(&h.handle, h) {
		t.Fatal("not admitted")
	}
	tx.Begin(1, 10, time.Time{})
	tx.Append(0, Insert, nil, benchRow(1, "Lagos", "house", 7), AnyColumn)
	tx.Commit(20)
	if p := g.Apply(tx); p.Evicted != 1 || h.times != 1 || g.Handles() != 0 {
		t.Errorf("%d purged, told %d times, %d left", p.Evicted, h.times, g.Handles())
	}
}

package coherence

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
)

// TestScripts runs the text scripts under testdata/scripts: one guard, named
// holders, and every step's outcome spelled out. A bug gets a file named after
// it.
//
// Commands:
//
//	table public.listings            columns, one a line: name kind
//	reset epoch=1 start=100
//	open page=lagos                  dependencies, one a line: table col=value col=lo..hi counts=a,b
//	stored page=lagos epoch=1 asof=90    dependencies as for open
//	admit page=lagos | close page=lagos | joinable page=lagos
//	apply xid=7 start=110 end=120    changes, one a line: op table old: c=v … new: c=v …
//	advance lsn=130
//	settle snapshot=8:8:
//	probe lsn=130 asked=5
//	state
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata/scripts", func(t *testing.T, path string) {
		s := &script{pages: map[string]*response{}}
		datadriven.RunTest(t, path, s.run)
	})
}

type script struct {
	tables []Table
	g      *Guard
	pages  map[string]*response
	log    strings.Builder
}

type response struct {
	name   string
	handle Handle
	s      *script
}

func (p *response) Evicted(c Cause) {
	fmt.Fprintf(&p.s.log, "evicted %s: %s %s %d\n", p.name, c.Reason, c.Table, uint64(c.LSN))
}

func (s *script) guard(t *testing.T) *Guard {
	if s.g == nil {
		g, err := New(Config{Tables: s.tables})
		if err != nil {
			t.Fatal(err)
		}
		s.g = g
	}
	return s.g
}

func (s *script) run(t *testing.T, d *datadriven.TestData) string {
	s.log.Reset()
	num := func(key string) uint64 {
		var v uint64
		d.ScanArgs(t, key, &v)
		return v
	}
	named := func() *response {
		var name string
		d.ScanArgs(t, "page", &name)
		if s.pages[name] == nil {
			s.pages[name] = &response{name: name, s: s}
		}
		return s.pages[name]
	}
	switch d.Cmd {
	case "table":
		tab := Table{Name: d.CmdArgs[0].Key}
		for line := range strings.Lines(d.Input) {
			f := strings.Fields(line)
			k, err := parseKind(f[1])
			if err != nil {
				t.Fatal(err)
			}
			tab.Columns = append(tab.Columns, Column{Name: f[0], Kind: k})
		}
		s.tables = append(s.tables, tab)
		return ""
	case "reset":
		n := s.guard(t).Reset(Epoch(num("epoch")), LSN(num("start")))
		fmt.Fprintf(&s.log, "dropped %d\n", n)
	case "open":
		p := named()
		p.handle = Handle{}
		ok := s.guard(t).Open(&p.handle, p, s.deps(t, d.Input))
		fmt.Fprintf(&s.log, "asof=%d storable=%v\n", uint64(p.handle.Asof()), ok)
	case "stored":
		p := named()
		p.handle = Handle{}
		deps := s.deps(t, d.Input)
		current := s.guard(t).Current(deps, Epoch(num("epoch")), LSN(num("asof")))
		ok := s.guard(t).OpenStored(&p.handle, p, deps, Epoch(num("epoch")), LSN(num("asof")))
		if current != ok {
			t.Errorf("%s: served once %t, kept %t", d.Pos, current, ok)
		}
		fmt.Fprintf(&s.log, "usable=%v\n", ok)
	case "admit":
		p := named()
		fmt.Fprintf(&s.log, "%v\n", s.guard(t).Admit(&p.handle, p))
	case "close":
		s.guard(t).Close(&named().handle)
	case "joinable":
		fmt.Fprintf(&s.log, "%v\n", s.guard(t).Joinable(&named().handle))
	case "apply":
		tx := s.transaction(t, d)
		p := s.guard(t).Apply(tx)
		fmt.Fprintf(&s.log, "purged %d\n", p.Evicted)
	case "advance":
		s.guard(t).Advance(LSN(num("lsn")))
	case "settle":
		var text string
		d.ScanArgs(t, "snapshot", &text)
		snap, err := ParseSnapshot(text)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&s.log, "pending %d\n", s.guard(t).Settle(snap))
	case "probe":
		fmt.Fprintf(&s.log, "reached=%v\n", s.guard(t).Probe(LSN(num("lsn")), Nanos(num("asked"))))
	case "state":
	default:
		t.Fatalf("%s: unknown command", d.Cmd)
	}
	g := s.guard(t)
	if d.Cmd != "joinable" && d.Cmd != "admit" {
		fmt.Fprintf(&s.log, "applied=%d W=%d pending=%d proven=%d live:", uint64(g.Applied()), uint64(g.Watermark()), g.Pending(), g.Proven())
		for _, n := range slices.Sorted(maps.Keys(s.pages)) {
			if s.pages[n].handle.Live() {
				fmt.Fprintf(&s.log, " %s", n)
			}
		}
		s.log.WriteByte('\n')
	}
	return s.log.String()
}

// deps parses lines like: public.listings city=Lagos price=10..20 counts=title,price
func (s *script) deps(t *testing.T, input string) []Dependency {
	var deps []Dependency
	for line := range strings.Lines(input) {
		f := strings.Fields(line)
		if f[0] == "group" {
			deps = append(deps, s.g.Group(f[1]))
			continue
		}
		id, ok := s.guard(t).Table(f[0])
		if !ok {
			t.Fatalf("no table %s", f[0])
		}
		tab := &s.tables[id]
		tmpl := Template{Table: id}
		var ops []Operand
		var bounds []Bounds
		for _, c := range f[1:] {
			name, value, _ := strings.Cut(c, "=")
			if name == "counts" {
				for col := range strings.SplitSeq(value, ",") {
					tmpl.Counts = tmpl.Counts.With(tab.Column(col))
				}
				continue
			}
			fold := NoFold
			if inner, found := strings.CutPrefix(name, "lower("); found {
				name, fold = strings.TrimSuffix(inner, ")"), Lower
			}
			col := tab.Column(name)
			if col < 0 {
				t.Fatalf("no column %s", name)
			}
			if lo, hi, isRange := strings.Cut(value, ".."); isRange {
				tmpl.Ranges = append(tmpl.Ranges, col)
				bounds = append(bounds, Bounds{operand(lo), operand(hi)})
				continue
			}
			tmpl.Equal = append(tmpl.Equal, Equal{col, fold})
			ops = append(ops, Operand{Present: true, Values: strings.Split(value, "|")})
		}
		deps = append(deps, s.g.Bind(&tmpl, ops, bounds)...)
	}
	return deps
}

func operand(v string) Operand {
	if v == "" {
		return Operand{}
	}
	return Operand{Present: true, Values: []string{v}}
}

// transaction parses lines like: update public.listings old: id=1 city=Lagos new: id=1 city=? title=~
// where ? is unknown and ~ is NULL; columns that are not named are unknown.
func (s *script) transaction(t *testing.T, d *datadriven.TestData) *Transaction {
	bulk := 100
	if d.HasArg("bulk") {
		d.ScanArgs(t, "bulk", &bulk)
	}
	tx := NewTransaction(s.tables, bulk)
	var xid, start, end uint64
	d.ScanArgs(t, "xid", &xid)
	d.ScanArgs(t, "start", &start)
	d.ScanArgs(t, "end", &end)
	tx.Begin(uint32(xid), LSN(start), time.Time{})
	for line := range strings.Lines(d.Input) {
		f := strings.Fields(line)
		if f[0] == "group" {
			tx.Group(f[1])
			continue
		}
		id, ok := s.g.Table(f[1])
		if !ok {
			t.Fatalf("no table %s", f[1])
		}
		if f[0] == "truncate" {
			tx.Whole(id)
			continue
		}
		op := map[string]Op{"insert": Insert, "update": Update, "delete": Delete}[f[0]]
		var old, new []Value
		var at *[]Value
		for _, w := range f[2:] {
			switch w {
			case "old:":
				old = make([]Value, len(s.tables[id].Columns))
				at = &old
				continue
			case "new:":
				new = make([]Value, len(s.tables[id].Columns))
				at = &new
				continue
			}
			name, v, _ := strings.Cut(w, "=")
			col := s.tables[id].Column(name)
			if col < 0 {
				t.Fatalf("no column %s", name)
			}
			switch v {
			case "~":
				(*at)[col] = Value{State: Null}
			case "?":
			default:
				if q, err := strconv.Unquote(v); err == nil {
					v = q
				}
				(*at)[col] = Value{State: Known, Text: []byte(v)}
			}
		}
		tx.Append(id, op, old, new, changed(old, new))
	}
	tx.Commit(LSN(end))
	return tx
}

func changed(old, new []Value) ColumnSet {
	if old == nil || new == nil {
		return AnyColumn
	}
	var set ColumnSet
	for i := range old {
		if old[i].State == Unknown || new[i].State == Unknown || old[i].State != new[i].State || string(old[i].Text) != string(new[i].Text) {
			set = set.With(i)
		}
	}
	return set
}

// parseKind is the inverse of String.
func parseKind(s string) (Kind, error) {
	for i, n := range kindNames {
		if n == s {
			return Kind(i), nil
		}
	}
	return 0, fmt.Errorf("parse kind %q: unknown", s)
}

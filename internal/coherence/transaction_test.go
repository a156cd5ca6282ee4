package coherence

import (
	"fmt"
	"testing"
	"time"
)

func boundedTables() []Table {
	return []Table{{Name: "public.a", Columns: []Column{{Name: "id", Kind: Integer}}}, {Name: "public.b"}}
}

// A transaction that was received while it was open is pending from the start
// of its commit record to the end, like any other.
func TestCommitAt(t *testing.T) {
	g, err := New(Config{Tables: boundedTables()})
	if err != nil {
		t.Fatal(err)
	}
	g.Reset(1, 100)
	tx := NewTransaction(boundedTables(), 10)
	tx.Begin(7, 0, time.Time{})
	tx.Append(0, Insert, nil, []Value{{State: Known, Text: []byte("1")}}, AnyColumn)
	at := time.UnixMicro(5)
	tx.CommitAt(200, 210, at)
	g.Apply(tx)
	if g.Watermark() != 200 || g.Applied() != 210 || tx.CommittedAt != at {
		t.Errorf("watermark %s, applied %s", g.Watermark(), g.Applied())
	}
	if g.Settle(Snapshot{XMin: 8, XMax: 8}) != 0 || g.Watermark() != 210 {
		t.Errorf("settled: watermark %s", g.Watermark())
	}
}

// What is coarsened takes no memory and matches all that it did.
func TestCoarsen(t *testing.T) {
	tx := NewTransaction(boundedTables(), 1000)
	tx.Begin(7, 10, time.Time{})
	if tx.Size() != 0 || !tx.Empty() {
		t.Errorf("an empty one has %d bytes", tx.Size())
	}
	tx.Coarsen()
	if !tx.Empty() {
		t.Error("an empty one matches something once it is coarse")
	}
	size := tx.Size()
	for i := range 100 {
		tx.Append(0, Insert, nil, []Value{{State: Known, Text: []byte("a value")}}, AnyColumn)
		if now := tx.Size(); now < size || now < (i+1)*(changeSize+fieldSize+7) {
			t.Fatalf("after %d rows it has %d bytes", i+1, now)
		} else {
			size = now
		}
	}
	tx.Coarsen()
	if tx.Size() != 0 || len(tx.Changes) != 0 || len(tx.WholeTables()) != 1 || tx.Rows[0][Insert] != 100 || tx.IsEveryGroup() {
		t.Errorf("coarse: %+v", tx)
	}
	tx.Group("g")
	tx.Append(1, Delete, nil, nil, AnyColumn)
	tx.Coarsen()
	if tx.Size() != 0 || len(tx.WholeTables()) != 2 || !tx.IsEveryGroup() {
		t.Errorf("coarse: %+v", tx)
	}
	tx.Begin(8, 20, time.Time{})
	if !tx.Empty() || tx.IsEveryGroup() || len(tx.WholeTables()) != 0 {
		t.Errorf("begun anew: %+v", tx)
	}
}

// More names than fit are every group: all that depends on a group is evicted
// and fenced, and nothing else.
func TestEveryGroup(t *testing.T) {
	g, err := New(Config{Tables: boundedTables()})
	if err != nil {
		t.Fatal(err)
	}
	g.Reset(1, 100)
	open := func(deps ...Dependency) *Handle {
		h := &Handle{}
		if !g.Open(h, nobody{}, deps) || !g.Admit(h, nobody{}) {
			t.Fatal("not admitted")
		}
		return h
	}
	table := g.Bind(&Template{Table: 0}, nil, nil)
	named, other, row := open(g.Group("g1")), open(g.Group("never named"), table[0]), open(table...)
	tx := NewTransaction(boundedTables(), 10)
	tx.Begin(7, 200, time.Time{})
	for i := range maxNamed / stringSize {
		tx.Group(fmt.Sprintf("g%d", i))
		if tx.Size() > 3*maxNamed {
			t.Fatalf("%d bytes after %d names", tx.Size(), i)
		}
	}
	tx.Commit(210)
	if !tx.IsEveryGroup() || len(tx.Groups) != 0 {
		t.Fatalf("%d names are kept", len(tx.Groups))
	}
	g.Apply(tx)
	if named.Live() || other.Live() || !row.Live() {
		t.Errorf("alive: named %t, another group %t, a table's %t", named.Live(), other.Live(), row.Live())
	}
	for asof, want := range map[LSN]bool{200: false, 209: false, 210: true} {
		if got := g.OpenStored(&Handle{}, nobody{}, []Dependency{g.Group("never named")}, 1, asof); got != want {
			t.Errorf("asof %d is usable: %t", asof, got)
		}
	}
}

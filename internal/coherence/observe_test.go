package coherence

import "testing"

// watched is a guard of one table with a column, at 100 in epoch 1, with what depends on rows by their
// value, and with inserts of rows, which stay pending.
func watched(t *testing.T) (g *Guard, deps func(string) []Dependency, insert func(xid uint32, at LSN, a string) *Purge) {
	t.Helper()
	tables := []Table{{Name: "public.t", Columns: []Column{{Name: "a", Kind: Integer}}}}
	template := &Template{Table: 0, Equal: []Equal{{Column: 0}}}
	g, err := New(Config{Tables: tables})
	if err != nil {
		t.Fatal(err)
	}
	g.Reset(1, 100)
	deps = func(a string) []Dependency {
		return g.Bind(template, []Operand{{Present: true, Values: []string{a}}}, nil)
	}
	insert = func(xid uint32, at LSN, a string) *Purge {
		tx := NewTransaction(tables, 10)
		tx.Begin(xid, at, tx.CommittedAt)
		tx.Append(0, Insert, nil, []Value{{State: Known, Text: []byte(a)}}, AnyColumn)
		tx.Commit(at + 10)
		return g.Apply(tx)
	}
	return g, deps, insert
}

type onlooker struct{ causes []Cause }

func (o *onlooker) Evicted(c Cause) { o.causes = append(o.causes, c) }

// TestOnlookersAreToldAndNotCounted: an onlooker hears of what touches its rows and of nothing else,
// and learns when it begins of a commit that nobody may have seen yet.
func TestOnlookersAreToldAndNotCounted(t *testing.T) {
	g, deps, insert := watched(t)
	var one, two, late onlooker
	var h1, h2, h3 Handle
	if !g.Observe(&h1, &one, deps("1")) || !g.Observe(&h2, &two, deps("2")) {
		t.Fatal("nothing is pending")
	}
	if p := insert(7, 200, "1"); p.Evicted != 0 || p.Fills != 0 {
		t.Errorf("onlookers are counted: %+v", p)
	}
	if len(one.causes) != 1 || one.causes[0].LSN != 210 || len(two.causes) != 0 {
		t.Errorf("told %v and %v", one.causes, two.causes)
	}
	if g.Observe(&h3, &late, deps("1")) {
		t.Error("the commit isn't visible yet")
	}
	g.Settle(Snapshot{XMin: 8, XMax: 8})
	g.Close(&h3)
	if !g.Observe(&h3, &late, deps("1")) {
		t.Error("the commit is visible")
	}
	g.Reset(2, 300)
	if len(one.causes) != 1 || len(two.causes) != 1 || len(late.causes) != 1 || two.causes[0].Reason != "epoch" {
		t.Errorf("after a new epoch: %v, %v, %v", one.causes, two.causes, late.causes)
	}
}

// TestOnlookerAsAResponse: who watches as a stored response does hears of what ends that one, and of nothing
// else. A response that has ended, or is no response yet, can't be watched so.
func TestOnlookerAsAResponse(t *testing.T) {
	g, deps, insert := watched(t)
	var stored, seen onlooker
	var response, h Handle
	if !g.Open(&response, &stored, deps("1")) {
		t.Fatal("nothing is pending")
	}
	if g.ObserveAs(&h, &seen, &response) {
		t.Error("a fill is no response: what it depends on isn't known yet")
	}
	if !g.Extend(&response, deps("2")) || !g.Admit(&response, &stored) {
		t.Fatal("nothing has changed")
	}
	if !g.ObserveAs(&h, &seen, &response) || h.Asof() != 100 {
		t.Fatalf("not watched, or as of %d", h.Asof())
	}
	insert(7, 200, "3")
	if len(seen.causes) != 0 {
		t.Errorf("told of another row: %v", seen.causes)
	}
	if p := insert(8, 300, "2"); p.Evicted != 1 {
		t.Errorf("the onlooker is counted: %+v", p)
	}
	if len(seen.causes) != 1 || seen.causes[0].LSN != 310 {
		t.Errorf("told %v", seen.causes)
	}
	var late Handle
	if g.ObserveAs(&late, &seen, &response) || g.Handles() != 0 {
		t.Errorf("a response that has ended is watched; %d handles", g.Handles())
	}
}

// TestOnlookerOfAnything: any row, any group, a table as a whole and a new epoch touch it; it isn't counted,
// and doesn't hide from the counts which table has ended a response.
func TestOnlookerOfAnything(t *testing.T) {
	g, deps, insert := watched(t)
	var seen, stored onlooker
	var h, response Handle
	watch := func() bool {
		g.Close(&h)
		return g.Observe(&h, &seen, []Dependency{g.Anything()})
	}
	g.Open(&response, &stored, append(deps("1"), g.Anything()))
	if !g.Admit(&response, &stored) || !watch() {
		t.Fatal("nothing is pending")
	}
	if p := insert(7, 200, "1"); p.Evicted != 1 || p.Tables[0] != 1 {
		t.Errorf("counted %+v", p)
	}
	if watch() {
		t.Error("a commit is pending that may have touched it")
	}
	g.Settle(Snapshot{XMin: 8, XMax: 8})
	for i, touch := range []func(*Transaction){
		func(tx *Transaction) { tx.Group("a") },
		func(tx *Transaction) { tx.EveryGroup() },
		func(tx *Transaction) { tx.Whole(0) },
		func(*Transaction) {}, // nothing that is watched
	} {
		if !watch() {
			t.Fatalf("%d: nothing is pending", i)
		}
		before := len(seen.causes)
		at := LSN(300 + 100*i)
		tx := NewTransaction(g.Tables(), 10)
		tx.Begin(uint32(10+i), at, tx.CommittedAt)
		touch(tx)
		tx.Commit(at + 10)
		g.Apply(tx)
		if told := len(seen.causes) - before; told != 1 && !tx.Empty() || told != 0 && tx.Empty() {
			t.Errorf("%d: told %d times", i, told)
		}
		g.Settle(Snapshot{XMin: uint64(11 + i), XMax: uint64(11 + i)})
	}
	if !watch() {
		t.Fatal("nothing is pending")
	}
	if g.Reset(2, 1000); seen.causes[len(seen.causes)-1].Reason != "epoch" {
		t.Errorf("told %v", seen.causes)
	}
}

package coherence

import "testing"

type onlooker struct{ causes []Cause }

func (o *onlooker) Evicted(c Cause) { o.causes = append(o.causes, c) }

// TestOnlookersAreToldAndNotCounted: an onlooker hears of what touches its rows and of nothing else,
// and learns when it begins of a commit that nobody may have seen yet.
func TestOnlookersAreToldAndNotCounted(t *testing.T) {
	tables := []Table{{Name: "public.t", Columns: []Column{{Name: "a", Kind: Integer}}}}
	template := &Template{Table: 0, Equal: []Equal{{Column: 0}}}
	g, err := New(Config{Tables: tables})
	if err != nil {
		t.Fatal(err)
	}
	g.Reset(1, 100)
	deps := func(a string) []Dependency {
		return g.Bind(template, []Operand{{Present: true, Values: []string{a}}}, nil)
	}
	insert := func(xid uint32, at LSN, a string) *Purge {
		tx := NewTransaction(tables, 10)
		tx.Begin(xid, at, tx.CommittedAt)
		tx.Append(0, Insert, nil, []Value{{State: Known, Text: []byte(a)}}, AnyColumn)
		tx.Commit(at + 10)
		return g.Apply(tx)
	}
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

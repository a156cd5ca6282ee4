package coherence

import "testing"

// nobody holds nothing.
type nobody struct{}

func (nobody) Evicted(Cause) {}

// TestUseFencesBeforeTheFirstRequest: a response that was stored elsewhere is
// usable if no commit since has touched it, though nobody has asked for the
// like here.
func TestUseFencesBeforeTheFirstRequest(t *testing.T) {
	tables := []Table{{Name: "public.t", Columns: []Column{{Name: "a", Kind: Integer}, {Name: "b", Kind: Text}}}}
	template := &Template{Table: 0, Equal: []Equal{{Column: 1}, {Column: 0}}}
	for _, prepared := range []bool{true, false} {
		g, err := New(Config{Tables: tables})
		if err != nil {
			t.Fatal(err)
		}
		if prepared {
			g.Use(template)
		}
		g.Reset(1, 100)
		tx := NewTransaction(tables, 10)
		tx.Begin(7, 200, tx.CommittedAt)
		tx.Append(0, Insert, nil, []Value{{State: Known, Text: []byte("1")}, {State: Known, Text: []byte("x")}}, AnyColumn)
		tx.Commit(210)
		g.Apply(tx)
		for _, c := range []struct {
			a, b string
			want bool
		}{{"1", "x", false}, {"2", "x", prepared}, {"1", "", false}, {"", "y", prepared}} {
			operand := func(s string) Operand { return Operand{Present: s != "", Values: []string{s}} }
			deps := g.Bind(template, []Operand{operand(c.b), operand(c.a)}, nil)
			if got := g.Current(deps, 1, 150); got != c.want {
				t.Errorf("prepared %t: a=%q b=%q is current: %t, want %t", prepared, c.a, c.b, got, c.want)
			}
			if got := g.OpenStored(&Handle{}, nobody{}, deps, 1, 150); got != c.want {
				t.Errorf("prepared %t: a=%q b=%q is usable: %t, want %t", prepared, c.a, c.b, got, c.want)
			}
		}
	}
}

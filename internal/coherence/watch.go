package coherence

import (
	"fmt"
	"slices"
)

// Watch makes the guard watch more: tables begins with the tables that it
// watches already, each with its columns in their order and more behind them.
// What is watched already keeps its kind. REQUIRES: no Apply meanwhile, and
// every transaction that is applied from now on has been decoded for tables.
//
// What is cached stays: no condition that it was tied to has changed. A
// condition on something new gets its first shape later, with a floor at or
// above the applied position of now, so that nothing read before counts as
// fenced for it (R3).
func (g *Guard) Watch(tables []Table) error {
	old := g.Tables()
	if len(tables) < len(old) {
		return fmt.Errorf("the guard watches %d tables and can't go back to %d", len(old), len(tables))
	}
	k := &known{tables: slices.Clone(tables), byName: make(map[string]TableID, len(tables))}
	for i := range k.tables {
		t := &k.tables[i]
		if _, dup := k.byName[t.Name]; dup {
			return fmt.Errorf("table %s is listed twice", t.Name)
		}
		k.byName[t.Name] = TableID(i)
		if i >= len(old) {
			continue
		}
		if t.Name != old[i].Name || len(t.Columns) < len(old[i].Columns) {
			return fmt.Errorf("table %s is not what the guard watches as %s", t.Name, old[i].Name)
		}
		for c, column := range old[i].Columns {
			if t.Columns[c].Name != column.Name {
				return fmt.Errorf("column %s of table %s is not what the guard watches as %s", t.Columns[c].Name, t.Name, column.Name)
			}
		}
		t.Columns = append(slices.Clone(old[i].Columns), t.Columns[len(old[i].Columns):]...)
	}
	g.mu.Lock()
	g.known.Store(k)
	for len(g.shapes) < len(k.tables) {
		g.shapes, g.lost = append(g.shapes, nil), append(g.lost, false)
	}
	g.scratch.init(k.tables)
	g.mu.Unlock()
	for i := len(old); i < len(k.tables); i++ {
		g.shape(TableID(i), nil, 0)
	}
	return nil
}

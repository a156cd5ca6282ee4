package coherence

import (
	"cmp"
	"slices"
)

// maxForeseen bounds the conditions whose combinations Use foresees.
const maxForeseen = 4

// Use prepares for the dependencies that requests will make of t, by which of
// its conditions they give values for. From then on every commit is fenced for
// them, which is what lets a response stored by another process, or by this
// one before it was started again, be usable (R3). What has more conditions
// than it foresees starts when it is first used.
func (g *Guard) Use(t *Template) {
	conds := slices.SortedFunc(slices.Values(t.Equal), func(a, b Equal) int {
		return cmp.Or(cmp.Compare(a.Column, b.Column), cmp.Compare(a.Fold, b.Fold))
	})
	if len(conds) > maxForeseen {
		g.shape(t.Table, conds, t.Counts)
		return
	}
	for set := range 1 << len(conds) {
		var columns []Equal
		for i := range conds {
			if set&(1<<i) != 0 {
				columns = append(columns, conds[i])
			}
		}
		g.shape(t.Table, columns, t.Counts)
	}
}

package main

import (
	"fmt"
	"strings"
)

// result is the table. A page that was missed is an error.
func (p *precision) result() (*result, error) {
	r := &result{}
	t := table{
		title: "What a change purges",
		head:  []string{"the pages' dependencies are declared", "needless of the purges", "purged", "needless", "missed", "changed", "pages"},
		notes: []string{fmt.Sprintf("%s random changes of the listings service's %s rows (seed %d), one at a time and the same for all; after each has settled, every page is asked for. "+
			"A page is purged if its proxy has asked the service for it again, needless if it looks as before, and missed if it is served otherwise than the service has it. "+
			"What was purged is fetched again before the next change.", thousands(float64(p.changes)), thousands(float64(p.listings)), p.seed)},
	}
	missed := 0
	for _, d := range p.ways {
		kept := 0
		for _, c := range d.cached {
			if c {
				kept++
			}
		}
		missed += d.purges.missed
		t.rows = append(t.rows, []string{
			d.name, percent(d.purges.share()), thousands(float64(d.purges.purged)), thousands(float64(d.purges.needless)), fmt.Sprint(d.purges.missed), fmt.Sprint(d.purges.changed), fmt.Sprint(kept),
		})
		if d.declaration.needless > 0 {
			r.goals = append(r.goals, goal{what: "needless of the purges: " + d.name, ratio: d.purges.share(), limit: d.declaration.needless})
		}
	}
	r.tables = []table{t}
	r.goals = append(r.goals, goal{what: "pages that changed and were not purged", ratio: float64(missed), limit: 0})
	if missed > 0 {
		return r, fmt.Errorf("%d pages were missed (seed %d): %s", missed, p.seed, strings.Join(p.faults[:min(len(p.faults), 5)], "; "))
	}
	return r, nil
}

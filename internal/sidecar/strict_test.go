package sidecar

import (
	"fmt"
	"strings"
	"testing"

	"walpurge/dev/testbed"
)

// TestStrictReadSeesEveryCommit: on a strict route a read that starts after a
// commit has returned shows it, also from the cache.
func TestStrictReadSeesEveryCommit(t *testing.T) {
	r := newRig(t, rigOptions{routes: strings.ReplaceAll(rigRoutes, "depends_on:", "consistency: strict\n    depends_on:")})
	r.insert(1, "v0", "Lagos", "house", 3, "100")
	r.caughtUp()
	r.warm("/api/listings/1")
	hits := 0
	for i := range 300 {
		title := fmt.Sprintf(`"v%d"`, i)
		if i > 0 {
			r.exec(`update listings set title = $1 where id = 1`, strings.Trim(title, `"`))
		}
		for range 3 {
			p := r.get("/api/listings/1")
			if !strings.Contains(p.body, title) {
				t.Fatalf("after the commit of %s: %q %s", title, p.header.Get("Cache-Status"), p.body)
			}
			if p.hit() {
				hits++
			}
		}
	}
	testbed.Measured(t, "%d of 900 strict reads were hits", hits)
	if hits < 100 {
		t.Errorf("only %d hits: the test needs them", hits)
	}
}

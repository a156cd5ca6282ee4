package scenario

import (
	"fmt"
	"strings"
	"testing"

	"walpurge/dev/testbed"
	"walpurge/test/rig"
)

// TestStrictReadSeesEveryCommit: on a strict route a read that starts after a
// commit has returned shows it, also from the cache.
func TestStrictReadSeesEveryCommit(t *testing.T) {
	r := rig.New(t, rig.Options{Routes: strings.ReplaceAll(rig.Routes, "depends_on:", "consistency: strict\n    depends_on:")})
	r.Insert(1, "v0", "Lagos", "house", 3, "100")
	r.CaughtUp()
	r.Warm("/api/listings/1")
	hits := 0
	for i := range 300 {
		title := fmt.Sprintf(`"v%d"`, i)
		if i > 0 {
			r.Exec(`update listings set title = $1 where id = 1`, strings.Trim(title, `"`))
		}
		for range 3 {
			p := r.Get("/api/listings/1")
			if !strings.Contains(p.Body, title) {
				t.Fatalf("after the commit of %s: %q %s", title, p.Header.Get("Cache-Status"), p.Body)
			}
			if p.Hit() {
				hits++
			}
		}
	}
	testbed.Measured(t, "%d of 900 strict reads were hits", hits)
	if hits < 100 {
		t.Errorf("only %d hits: the test needs them", hits)
	}
}

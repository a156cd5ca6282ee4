package scenario

import (
	"testing"

	"walpurge/test/rig"
)

// TestAuditFindsAnIncompleteDeclaration: the pages show the agent's name, and
// the route forgets to say so. The auditor finds it, and finds nothing where
// the declaration is complete.
func TestAuditFindsAnIncompleteDeclaration(t *testing.T) {
	const forgetful = `
routes:
  - path: /api/listings/{id}
    depends_on:
      - table: listings
        where: { id: path.id }
  - path: /api/listings
    depends_on: [listings, agents]
`
	r := rig.New(t, rig.Options{Routes: forgetful, Extra: "audit: 1\n"})
	r.Exec(`insert into agents (id, name) values (1, 'Ada')`)
	r.Insert(1, "one", "Lagos", "house", 3, "100")
	r.Exec(`update listings set agent_id = 1`)
	r.CaughtUp()
	r.Warm("/api/listings/1", "/api/listings")
	r.Eventually("audits agree", func() bool { return r.Metric("walpurge_audit_total", `result="ok"`) >= 2 })
	for range 20 {
		r.Exec(`update listings set title = title || '.' where id = 1`)
		r.Get("/api/listings/1")
		r.Get("/api/listings")
	}
	if n := r.Metric("walpurge_audit_total", `result="stale"`); n != 0 {
		t.Errorf("%v stale hits were found where only declared rows had changed", n)
	}

	r.CaughtUp()
	r.Warm("/api/listings/1", "/api/listings")
	r.Exec(`update agents set name = 'Grace' where id = 1`)
	r.CaughtUp()
	r.Misses("/api/listings")
	r.StillHits("/api/listings/1") // the declaration's fault
	r.Eventually("the audit finds the stale page", func() bool {
		r.Get("/api/listings/1")
		return r.Metric("walpurge_audit_total", `result="stale"`) > 0
	})
}

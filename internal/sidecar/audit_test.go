package sidecar

import (
	"testing"
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
	r := newRig(t, rigOptions{routes: forgetful, extra: "audit: 1\n"})
	r.exec(`insert into agents (id, name) values (1, 'Ada')`)
	r.insert(1, "one", "Lagos", "house", 3, "100")
	r.exec(`update listings set agent_id = 1`)
	r.caughtUp()
	r.warm("/api/listings/1", "/api/listings")
	r.eventually("audits agree", func() bool { return r.metric("walpurge_audit_total", `result="ok"`) >= 2 })
	for range 20 {
		r.exec(`update listings set title = title || '.' where id = 1`)
		r.get("/api/listings/1")
		r.get("/api/listings")
	}
	if n := r.metric("walpurge_audit_total", `result="stale"`); n != 0 {
		t.Errorf("%v stale hits were found where only declared rows had changed", n)
	}

	r.caughtUp()
	r.warm("/api/listings/1", "/api/listings")
	r.exec(`update agents set name = 'Grace' where id = 1`)
	r.caughtUp()
	r.misses("/api/listings")
	r.stillHits("/api/listings/1") // the declaration's fault
	r.eventually("the audit finds the stale page", func() bool {
		r.get("/api/listings/1")
		return r.metric("walpurge_audit_total", `result="stale"`) > 0
	})
}

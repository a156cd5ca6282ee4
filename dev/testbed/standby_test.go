package testbed

import "testing"

// A standby that was streaming has every commit of a primary that was stopped in order, and goes on from there.
func TestStandbyTakesOver(t *testing.T) {
	p := NewPostgres(t, map[string]string{"max_replication_slots": "7"})
	must(t, execute(t.Context(), p.URL("postgres"), "CREATE TABLE kept (n int)"))
	s := NewStandby(t, p)
	if got := query(t, s.URL("postgres"), "SELECT pg_is_in_recovery()::text || ' ' || current_setting('max_replication_slots')"); got != "true 7" {
		t.Fatalf("in recovery, slots: %s", got)
	}
	const system = "SELECT system_identifier::text FROM pg_control_system()"
	if a, b := query(t, p.URL("postgres"), system), query(t, s.URL("postgres"), system); a != b {
		t.Errorf("system identifiers %s and %s", a, b)
	}
	for range 20 {
		must(t, execute(t.Context(), p.URL("postgres"), "INSERT INTO kept VALUES (1)"))
	}
	must(t, p.Stop("fast"))
	must(t, s.Promote(t.Context()))
	must(t, execute(t.Context(), s.URL("postgres"), "INSERT INTO kept VALUES (2)"))
	if got := query(t, s.URL("postgres"), "SELECT count(*)::text FROM kept"); got != "21" {
		t.Errorf("%s rows, want 21", got)
	}
}

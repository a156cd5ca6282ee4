package cdc

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"walpurge/dev/testbed"
	"walpurge/internal/cdc/catalogue"
)

func TestRefusedRoles(t *testing.T) {
	url := testbed.Database(t)
	c := newClient(t, url)
	c.exec(`CREATE TABLE a (id int PRIMARY KEY)`, `CREATE ROLE nobody_much LOGIN`, `CREATE ROLE replicator LOGIN REPLICATION`)
	database := c.text("SELECT current_database()")
	t.Cleanup(func() {
		c.exec("REVOKE ALL ON DATABASE "+database+" FROM replicator", "DROP ROLE nobody_much, replicator")
	})
	as := func(role string) Config {
		return config(t, strings.Replace(url, "postgres@", role+"@", 1), catalogue.Watch{Table: "public.a"})
	}
	create := "CREATE PUBLICATION walpurge FOR TABLE public.a WITH (publish = 'insert, update, delete, truncate', publish_via_partition_root = true" + c.moreOptions() + ")"
	want := []string{
		"the role nobody_much may not replicate; ALTER ROLE nobody_much REPLICATION (Amazon RDS: GRANT rds_replication TO nobody_much)",
		"publication walpurge doesn't exist and the role nobody_much may not create it; as the owner of the database: GRANT CREATE ON DATABASE " + database + " TO nobody_much; or as the tables' owner: " + create,
	}
	if got := refused(t, as("nobody_much")); !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
	c.exec("GRANT CREATE ON DATABASE " + database + " TO replicator")
	want = []string{"publication walpurge doesn't exist and the role replicator may not publish table public.a, which it doesn't own; as the tables' owner: " + create}
	if got := refused(t, as("replicator")); !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
	// With the publication there, replication is all that the role needs.
	c.exec(create)
	r := listen(t, as("replicator"))
	r.client = c
	r.expect(sql("INSERT INTO a VALUES (1)"), "insert a: ")
}

// TestFollowerOutlivesARefusal: a process that has followed is at work, and
// what it finds when the slot becomes free is no mistake of its start. A
// failover shows it a standby for a moment.
func TestFollowerOutlivesARefusal(t *testing.T) {
	f, leader, followers := led(t, 1)
	follower := followers[0]
	f.exec("ALTER PUBLICATION walpurge SET (publish = 'insert')")
	if err := leader.stop(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the follower is refused", func() bool {
		return strings.Contains(follower.listener.Status().LastError, "doesn't publish insert, update, delete and truncate")
	})
	f.exec("ALTER PUBLICATION walpurge SET (publish = 'insert, update, delete, truncate')")
	f.role(follower, roleLeader)
	f.ready(follower)
	f.exec("INSERT INTO listings VALUES (1, 'Lagos', 10, NULL)")
	f.agree(follower)
}

// An administrator runs what is printed for a role that may do none of it, and
// then the role can listen.
func TestSetupPrintsForAnAdministrator(t *testing.T) {
	url := testbed.Database(t)
	c := newClient(t, url)
	c.exec(`CREATE ROLE reader LOGIN`, `CREATE TABLE a (id int PRIMARY KEY, city text)`, `CREATE TABLE b (id int)`)
	t.Cleanup(func() { c.exec("DROP ROLE reader") })
	cfg := config(t, strings.Replace(url, "postgres@", "reader@", 1), catalogue.Watch{Table: "public.a", Columns: []string{"city"}}, catalogue.Watch{Table: "public.b"})
	_, err := catalogue.Setup(t.Context(), cfg.Scope, false)
	if err == nil || !strings.Contains(err.Error(), "the role reader may not replicate") || !strings.Contains(err.Error(), "or let an administrator run what `proxy setup -print` shows") {
		t.Errorf("setup without rights: %v", err)
	}
	want := []string{
		"ALTER ROLE reader REPLICATION",
		"ALTER TABLE public.a REPLICA IDENTITY FULL",
		"ALTER TABLE public.b REPLICA IDENTITY FULL",
		"CREATE PUBLICATION walpurge FOR TABLE public.a, public.b WITH (publish = 'insert, update, delete, truncate', publish_via_partition_root = true" + c.moreOptions() + ")",
		c.slotStatement(cfg.Slot),
	}
	printed, err := catalogue.Setup(t.Context(), cfg.Scope, true)
	if err != nil || !slices.Equal(inOneGo(printed), want) {
		t.Fatalf("printed %q, %v\nwant %q", printed, err, want)
	}
	if !strings.HasSuffix(printed[1], "\nSET lock_timeout = '200ms'") || !strings.HasPrefix(printed[1], "-- ") || !strings.Contains(printed[1], "run all of this again") || !strings.HasSuffix(printed[5], "\nRESET lock_timeout") {
		t.Errorf("printed %q", printed)
	}
	if got := leavings(c); got != "0 publications, 0 slots" {
		t.Fatalf("printing made %s", got)
	}
	c.exec(printed...)
	if again, err := catalogue.Setup(t.Context(), cfg.Scope, true); err != nil || len(again) != 0 {
		t.Errorf("the second time it printed %q, %v", again, err)
	}
	r := listen(t, cfg)
	r.client = c
	r.expect(sql("INSERT INTO a VALUES (1, 'x')"), "insert a: city=?")
	// Somebody else's publication, which lacks a table.
	c.exec("ALTER PUBLICATION walpurge DROP TABLE b")
	if _, err := catalogue.Setup(t.Context(), cfg.Scope, false); err == nil || !strings.Contains(err.Error(), "may not alter publication walpurge") {
		t.Errorf("setup of another's publication: %v", err)
	}
	if printed, err = catalogue.Setup(t.Context(), cfg.Scope, true); err != nil || !slices.Equal(inOneGo(printed), []string{"ALTER PUBLICATION walpurge ADD TABLE public.b"}) {
		t.Errorf("printed %q, %v", printed, err)
	}
	// What is wrong for everybody is refused.
	cfg.Watches = append(cfg.Watches, catalogue.Watch{Table: "public.nowhere"})
	if _, err := catalogue.Setup(t.Context(), cfg.Scope, true); err == nil || !strings.Contains(err.Error(), "public.nowhere doesn't exist") {
		t.Errorf("a table that isn't there: %v", err)
	}
}

// refused inspects and returns what is refused, a line each.
func refused(t *testing.T, cfg Config) []string {
	t.Helper()
	_, err := catalogue.Inspect(t.Context(), cfg.Scope)
	var e *catalogue.RefusalError
	if !errors.As(err, &e) {
		t.Fatalf("Inspect returns %v, not a refusal", err)
	}
	var lines []string
	for _, r := range e.Refusals {
		if r.Mend == "" {
			t.Errorf("%q has no mend", r.Message)
		}
		lines = append(lines, r.String())
	}
	return lines
}

// leavings counts what a failed attempt might have left in a database.
func leavings(c *client) string {
	return c.text("SELECT (SELECT count(*) FROM pg_publication) || ' publications, ' || (SELECT count(*) FROM pg_replication_slots WHERE database = current_database()) || ' slots'")
}

// inOneGo are printed statements without those about waiting for locks.
func inOneGo(printed []string) []string {
	return slices.DeleteFunc(slices.Clone(printed), func(s string) bool { return strings.Contains(s, "SET lock_timeout") })
}

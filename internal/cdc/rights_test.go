package cdc

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"walpurge/dev/testbed"
)

// TestRightsThatSetupLacks: each is said with the statement that gives it.
func TestRightsThatSetupLacks(t *testing.T) {
	url := testbed.Database(t)
	c := newClient(t, url)
	c.exec(`CREATE ROLE keeper LOGIN REPLICATION`, `CREATE SCHEMA "Shop"`,
		`CREATE TABLE "Shop".t (id int)`, `ALTER TABLE "Shop".t OWNER TO keeper`,
		`CREATE TABLE p (id int) PARTITION BY LIST (id)`, `CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1)`, `ALTER TABLE p OWNER TO keeper`,
		`CREATE TABLE mine (id int PRIMARY KEY)`, `ALTER TABLE mine OWNER TO keeper`, `CREATE TABLE theirs (id int PRIMARY KEY)`)
	database := c.text("SELECT current_database()")
	c.exec("GRANT CREATE ON DATABASE " + database + " TO keeper")
	t.Cleanup(func() { c.exec("DROP OWNED BY keeper", "DROP ROLE keeper") })
	expect := func(err error, want ...string) {
		t.Helper()
		var refused *RefusalError
		if !errors.As(err, &refused) {
			t.Fatalf("%v, want %q", err, want)
		}
		var got []string
		for _, r := range refused.Refusals {
			got = append(got, r.String())
		}
		if !slices.Equal(got, want) {
			t.Errorf("got %q\nwant %q", got, want)
		}
	}
	as := func(tables ...string) Config {
		var watches []Watch
		for _, table := range tables {
			watches = append(watches, Watch{Table: table})
		}
		return config(t, strings.Replace(url, "postgres@", "keeper@", 1), watches...)
	}
	const print = ", or let an administrator run what `proxy setup -print` shows"
	const grant = `, which it owns, because it may not use schema Shop; GRANT USAGE ON SCHEMA "Shop" TO keeper` + print
	// The owner of a table in a schema that it may not use, and of a partitioned table with another's partition.
	_, err := Setup(t.Context(), as("Shop.t"), false)
	expect(err, "the role keeper may not publish table Shop.t"+grant, "the role keeper may not alter table Shop.t"+grant)
	_, err = Setup(t.Context(), as("public.p"), false)
	expect(err, "the role keeper may not alter table public.p1; run setup as the owner of table public.p1"+print)
	// run says it as well when it would have to publish the table.
	c.exec(`ALTER TABLE "Shop".t REPLICA IDENTITY FULL`)
	_, err = Inspect(t.Context(), as("Shop.t"))
	expect(err, "the role keeper may not publish table Shop.t"+grant)
	// A publication of its own, to which tables are to be added.
	c.exec("SET ROLE keeper", "CREATE PUBLICATION walpurge FOR TABLE mine WITH (publish_via_partition_root = true)", "RESET ROLE")
	if c.major() >= 18 {
		c.exec("ALTER PUBLICATION walpurge SET (publish_generated_columns = stored)")
	}
	_, err = Setup(t.Context(), as("public.mine", "public.theirs", "Shop.t"), false)
	expect(err, "the role keeper may not publish table public.theirs; run setup as the owner of table public.theirs"+print, "the role keeper may not publish table Shop.t"+grant)
	c.exec(`GRANT USAGE ON SCHEMA "Shop" TO keeper`)
	if _, err := Setup(t.Context(), as("public.mine", "Shop.t"), false); err != nil {
		t.Error(err)
	}
}

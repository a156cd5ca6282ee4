package cdc

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"walpurge/dev/testbed"
)

// refused inspects and returns what is refused, a line each.
func refused(t *testing.T, cfg Config) []string {
	t.Helper()
	_, err := Inspect(t.Context(), cfg)
	var e *RefusalError
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

func TestRefusedTables(t *testing.T) {
	url := testbed.Database(t)
	c := newClient(t, url)
	c.exec(`CREATE TABLE listings (id int PRIMARY KEY, price int, city text)`, `CREATE VIEW v AS SELECT 1 AS id`,
		`CREATE MATERIALIZED VIEW mv AS SELECT 1 AS id`, `CREATE UNLOGGED TABLE fast (id int PRIMARY KEY)`,
		`CREATE EXTENSION IF NOT EXISTS file_fdw`, `CREATE SERVER files FOREIGN DATA WRAPPER file_fdw`,
		`CREATE FOREIGN TABLE far (id int) SERVER files OPTIONS (filename '/dev/null')`,
		`CREATE TABLE parts (id int PRIMARY KEY) PARTITION BY LIST (id)`, `CREATE TABLE part1 PARTITION OF parts FOR VALUES IN (1)`,
		`CREATE TABLE parent (id int PRIMARY KEY)`, `CREATE TABLE child () INHERITS (parent)`,
		`CREATE TABLE keyless (id int)`, `CREATE TABLE nothing (id int PRIMARY KEY)`, `ALTER TABLE nothing REPLICA IDENTITY NOTHING`,
		`CREATE TABLE late (id int PRIMARY KEY DEFERRABLE)`, `CREATE TABLE "Odd" (id int)`, `CREATE SCHEMA app`, `CREATE TABLE app.hidden (id int PRIMARY KEY)`,
		`CREATE TABLE leafy (id int) PARTITION BY LIST (id)`, `CREATE TABLE leaf1 PARTITION OF leafy FOR VALUES IN (1)`, `ALTER TABLE leafy REPLICA IDENTITY FULL`,
		`CREATE TABLE lastindex (id int NOT NULL)`, `CREATE UNIQUE INDEX lix ON lastindex (id)`, `ALTER TABLE lastindex REPLICA IDENTITY USING INDEX lix`, `DROP INDEX lix`)
	database := c.text("SELECT current_database()")
	for _, test := range []struct {
		table, column string
		want          string
	}{
		{"public.listing", "id", "table public.listing doesn't exist in database " + database + "; did you mean public.listings?"},
		{"public.hidden", "id", "table public.hidden doesn't exist in database " + database + "; did you mean app.hidden?"},
		{"public.zzzzzz", "id", "table public.zzzzzz doesn't exist in database " + database + "; create it, or correct the name in the configuration"},
		{"public.listings", "prize", "table public.listings has no column prize; did you mean price?"},
		{"public.listings", "zzzzzz", "table public.listings has no column zzzzzz; the columns are id, price, city"},
		{"public.listings", "xmin", "table public.listings has no column xmin; the columns are id, price, city"},
		{"public.v", "id", "public.v is a view, which has no row changes; depend on the tables that it reads"},
		{"public.mv", "id", "public.mv is a materialised view, which has no row changes; depend on the tables that it reads, with a ttl as long as it may lag behind them"},
		{"public.fast", "id", "public.fast is unlogged: its changes are not in the WAL; ALTER TABLE public.fast SET LOGGED"},
		{"public.far", "id", "public.far is a foreign table, whose changes are not in this server's WAL; depend on the table in the database that holds it, or give the route a ttl"},
		{"public.part1", "id", "public.part1 is a partition of public.parts, and changes are published in the name of the latter; depend on public.parts"},
		{"public.parent", "id", "public.parent has children by INHERITS, whose rows it shows and whose changes it doesn't; use declarative partitioning, or depend on the table and each child in one route"},
		{"pg_catalog.pg_class", "relname", "pg_catalog.pg_class belongs to the system catalogue, which is not published; depend on a table of your own"},
		{"public.keyless", "id", "table public.keyless has no primary key that it could use: once it is published, UPDATE and DELETE on it fail; ALTER TABLE public.keyless REPLICA IDENTITY FULL, or give it a primary key"},
		{"public.Odd", "id", `table public.Odd has no primary key that it could use: once it is published, UPDATE and DELETE on it fail; ALTER TABLE public."Odd" REPLICA IDENTITY FULL, or give it a primary key`},
		{"public.nothing", "id", "table public.nothing has NOTHING as its replica identity: once it is published, UPDATE and DELETE on it fail; ALTER TABLE public.nothing REPLICA IDENTITY FULL, or give it a primary key"},
		{"public.late", "id", "table public.late has no primary key that it could use: once it is published, UPDATE and DELETE on it fail; ALTER TABLE public.late REPLICA IDENTITY FULL, or give it a primary key"},
		{"public.lastindex", "id", "table public.lastindex has an index as its replica identity that doesn't exist any more: once it is published, UPDATE and DELETE on it fail; ALTER TABLE public.lastindex REPLICA IDENTITY FULL, or give it a primary key"},
		{"public.leafy", "id", "table public.leaf1 has no primary key that it could use: once it is published, UPDATE and DELETE on it fail; ALTER TABLE public.leaf1 REPLICA IDENTITY FULL, or give it a primary key"},
	} {
		t.Run(test.table+" "+test.column, func(t *testing.T) {
			cfg := config(t, url, Watch{Table: test.table, Columns: []string{test.column}, Conditions: []string{test.column}})
			if got := refused(t, cfg); !slices.Equal(got, []string{test.want}) {
				t.Errorf("got %q\nwant %q", got, test.want)
			}
		})
	}
	if got := leavings(c); got != "0 publications, 0 slots" {
		t.Errorf("left behind: %s", got)
	}
}

func TestRefusedPublications(t *testing.T) {
	url := testbed.Database(t)
	c := newClient(t, url)
	c.exec(`CREATE TABLE a (id int PRIMARY KEY, b int)`, `CREATE TABLE b (id int PRIMARY KEY)`,
		`CREATE TABLE p (id int PRIMARY KEY) PARTITION BY LIST (id)`, `CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1)`)
	watches := []Watch{{Table: "public.a"}, {Table: "public.b"}}
	for name, test := range map[string]struct {
		since  int // major version
		create string
		table  string
		want   string
	}{
		"lacks a table":     {14, `FOR TABLE a`, "public.b", "publication walpurge doesn't have table public.b; run `proxy setup -config FILE`"},
		"lacks an action":   {14, `FOR TABLE a, b WITH (publish = 'insert, update, delete')`, "", "publication walpurge doesn't publish insert, update, delete and truncate; run `proxy setup -config FILE`"},
		"has a row filter":  {15, `FOR TABLE a WHERE (id > 5), b`, "public.a", "publication walpurge has a row filter for table public.a, which hides changes; ALTER PUBLICATION walpurge DROP TABLE public.a; ALTER PUBLICATION walpurge ADD TABLE public.a; or use a publication of its own for the proxy"},
		"has a column list": {15, `FOR TABLE a (id), b`, "public.a", "publication walpurge has a column list for table public.a, which hides changes; ALTER PUBLICATION walpurge DROP TABLE public.a; ALTER PUBLICATION walpurge ADD TABLE public.a; or use a publication of its own for the proxy"},
	} {
		if c.major() < test.since {
			continue
		}
		t.Run(name, func(t *testing.T) {
			c.exec("CREATE PUBLICATION walpurge " + test.create)
			defer c.exec("DROP PUBLICATION walpurge")
			if got := refused(t, config(t, url, watches...)); !slices.Equal(got, []string{test.want}) {
				t.Errorf("got %q\nwant %q", got, test.want)
			}
		})
	}
	t.Run("partitions under their own names", func(t *testing.T) {
		c.exec("CREATE PUBLICATION walpurge FOR TABLE p")
		defer c.exec("DROP PUBLICATION walpurge")
		want := "publication walpurge publishes partitions under their own names: publish_via_partition_root is false; run `proxy setup -config FILE`"
		if got := refused(t, config(t, url, Watch{Table: "public.p"})); !slices.Equal(got, []string{want}) {
			t.Errorf("got %q", got)
		}
	})
	whole := map[string]string{"all tables": "FOR ALL TABLES WITH (publish_via_partition_root = true)"}
	if c.major() >= 15 {
		whole["a schema"] = "FOR TABLES IN SCHEMA public WITH (publish_via_partition_root = true)"
	}
	for name, create := range whole {
		t.Run(name, func(t *testing.T) {
			c.exec("CREATE PUBLICATION walpurge " + create)
			defer c.exec("DROP PUBLICATION walpurge")
			if _, err := Inspect(t.Context(), config(t, url, append(watches, Watch{Table: "public.p"})...)); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestRefusedSlots(t *testing.T) {
	url, other := testbed.Database(t), testbed.Database(t)
	c := newClient(t, url)
	c.exec(`CREATE TABLE a (id int PRIMARY KEY)`)
	database := newClient(t, other).text("SELECT current_database()")
	mend := "; set postgres.slot to another name, or drop it: SELECT pg_drop_replication_slot('odd')"
	for name, test := range map[string]struct{ url, create, want string }{
		"physical":       {url, "pg_create_physical_replication_slot('odd')", "slot odd is a physical one"},
		"plugin":         {url, "pg_create_logical_replication_slot('odd', 'test_decoding')", "slot odd has the plugin test_decoding and not pgoutput"},
		"other database": {other, "pg_create_logical_replication_slot('odd', 'pgoutput')", "slot odd belongs to database " + database + " and not to " + c.text("SELECT current_database()")},
		"temporary":      {url, "pg_create_logical_replication_slot('odd', 'pgoutput', true)", "slot odd is a temporary one of another connection"},
		"two-phase":      {url, "pg_create_logical_replication_slot('odd', 'pgoutput', false, true)", "slot odd decodes prepared transactions before they commit (two_phase)"},
	} {
		t.Run(name, func(t *testing.T) {
			owner := newClient(t, test.url)
			owner.exec("SELECT " + test.create)
			defer owner.exec("SELECT pg_drop_replication_slot('odd')")
			cfg := config(t, url, Watch{Table: "public.a"})
			cfg.Slot = "odd"
			if got := refused(t, cfg); !slices.Equal(got, []string{test.want + mend}) {
				t.Errorf("got %q\nwant %q", got, test.want+mend)
			}
		})
	}
}

func TestRefusedServers(t *testing.T) {
	t.Run("wal_level and standby names", func(t *testing.T) {
		p := testbed.NewPostgres(t, map[string]string{"wal_level": "replica", "synchronous_standby_names": "ANY 1 (paris, *)", "synchronous_commit": "local"})
		newClient(t, p.URL("postgres")).exec(`CREATE TABLE a (id int PRIMARY KEY)`)
		want := []string{
			`wal_level is "replica"; set wal_level=logical and restart PostgreSQL (Amazon RDS: rds.logical_replication=1; Cloud SQL: cloudsql.logical_decoding=on)`,
			`synchronous_standby_names is "ANY 1 (paris, *)"; ` + standbyMend,
		}
		if got := refused(t, config(t, p.URL("postgres"), Watch{Table: "public.a"})); !slices.Equal(got, want) {
			t.Errorf("got %q", got)
		}
	})
	t.Run("no slot left", func(t *testing.T) {
		p := testbed.NewPostgres(t, map[string]string{"max_replication_slots": "1"})
		c := newClient(t, p.URL("postgres"))
		c.exec(`CREATE TABLE a (id int PRIMARY KEY)`, `SELECT pg_create_physical_replication_slot('taken')`)
		want := []string{"all 1 replication slots are in use; raise max_replication_slots and restart PostgreSQL, or drop a slot that nobody uses"}
		if got := refused(t, config(t, p.URL("postgres"), Watch{Table: "public.a"})); !slices.Equal(got, want) {
			t.Errorf("got %q", got)
		}
	})
	t.Run("no sender left", func(t *testing.T) {
		p := testbed.NewPostgres(t, map[string]string{"max_wal_senders": "0"})
		newClient(t, p.URL("postgres")).exec(`CREATE TABLE a (id int PRIMARY KEY)`)
		_, err := Inspect(t.Context(), config(t, p.URL("postgres"), Watch{Table: "public.a"}))
		if err == nil || !strings.Contains(err.Error(), "raise max_wal_senders and restart PostgreSQL") {
			t.Errorf("Inspect returns %v", err)
		}
	})
	t.Run("encoding", func(t *testing.T) {
		server := testbed.Server(t)
		admin := newClient(t, server.URL("postgres"))
		admin.exec("CREATE DATABASE bytes ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0")
		defer admin.exec("DROP DATABASE bytes WITH (FORCE)")
		newClient(t, server.URL("bytes")).exec(`CREATE TABLE a (id int PRIMARY KEY)`)
		want := []string{"the encoding of database bytes is SQL_ASCII, whose text can't be turned into UTF-8; use a database with encoding UTF8"}
		if got := refused(t, config(t, server.URL("bytes"), Watch{Table: "public.a"})); !slices.Equal(got, want) {
			t.Errorf("got %q", got)
		}
	})
}

func TestRefusedRoles(t *testing.T) {
	url := testbed.Database(t)
	c := newClient(t, url)
	c.exec(`CREATE TABLE a (id int PRIMARY KEY)`, `CREATE ROLE nobody_much LOGIN`, `CREATE ROLE replicator LOGIN REPLICATION`)
	database := c.text("SELECT current_database()")
	t.Cleanup(func() {
		c.exec("REVOKE ALL ON DATABASE "+database+" FROM replicator", "DROP ROLE nobody_much, replicator")
	})
	as := func(role string) Config {
		return config(t, strings.Replace(url, "postgres@", role+"@", 1), Watch{Table: "public.a"})
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

func TestNearest(t *testing.T) {
	if got := nearest("listing", []string{"agents", "Listings", "lastings", "sting"}); !slices.Equal(got, []string{"Listings", "lastings", "sting"}) {
		t.Errorf("nearest gives %q", got)
	}
	for _, d := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"a", "", 1}, {"", "ab", 2}, {"kitten", "sitting", 3}, {"price", "prize", 1}} {
		if got := distance(d.a, d.b); got != d.want {
			t.Errorf("distance(%q, %q) is %d, want %d", d.a, d.b, got, d.want)
		}
	}
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

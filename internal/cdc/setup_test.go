package cdc

import (
	"context"
	"slices"
	"strings"
	"testing"

	"walpurge/dev/testbed"
)

// inOneGo are printed statements without those about waiting for locks.
func inOneGo(printed []string) []string {
	return slices.DeleteFunc(slices.Clone(printed), func(s string) bool { return strings.Contains(s, "SET lock_timeout") })
}

func TestSetupMakesWhatIsMissing(t *testing.T) {
	url := testbed.Database(t)
	c := newClient(t, url)
	c.exec(`CREATE TABLE rooms (id int PRIMARY KEY, city text)`, `CREATE TABLE keyless (id int)`, `CREATE TABLE fine (id int PRIMARY KEY, note text)`,
		`CREATE TABLE parts (id int PRIMARY KEY, city text) PARTITION BY LIST (id)`, `CREATE TABLE part1 PARTITION OF parts FOR VALUES IN (1)`)
	cfg := config(t, url, Watch{Table: "public.rooms", Columns: []string{"city"}, Conditions: []string{"city"}}, Watch{Table: "public.keyless"},
		Watch{Table: "public.fine", Columns: []string{"id"}}, Watch{Table: "public.parts", Columns: []string{"city"}})
	want := []string{
		"ALTER TABLE public.rooms REPLICA IDENTITY FULL",
		"ALTER TABLE public.keyless REPLICA IDENTITY FULL",
		"ALTER TABLE public.parts REPLICA IDENTITY FULL",
		"ALTER TABLE public.part1 REPLICA IDENTITY FULL",
		"CREATE PUBLICATION walpurge FOR TABLE public.rooms, public.keyless, public.fine, public.parts WITH (publish = 'insert, update, delete, truncate', publish_via_partition_root = true" + c.moreOptions() + ")",
		c.slotStatement(cfg.Slot),
	}
	identities := "SELECT string_agg(relname || ' ' || relreplident::text, ', ' ORDER BY relname) FROM pg_class WHERE relname IN ('rooms', 'keyless', 'fine', 'parts', 'part1')"
	before := c.text(identities)

	printed, err := Setup(t.Context(), cfg, true)
	if err != nil || !slices.Equal(inOneGo(printed), want) {
		t.Fatalf("printed %q, %v\nwant %q", printed, err, want)
	}
	if got := leavings(c); got != "0 publications, 0 slots" || c.text(identities) != before {
		t.Fatalf("printing made %s", got)
	}
	done, err := Setup(t.Context(), cfg, false)
	if err != nil || !slices.Equal(done, want) {
		t.Fatalf("did %q, %v", done, err)
	}
	if got := leavings(c); got != "1 publications, 1 slots" {
		t.Errorf("made %s", got)
	}
	if got := c.text(identities); got != "fine d, keyless f, part1 f, parts f, rooms f" {
		t.Errorf("the identities are %s", got)
	}
	if again, err := Setup(t.Context(), cfg, false); err != nil || len(again) != 0 {
		t.Errorf("the second time it did %q, %v", again, err)
	}
	catalogue, err := Inspect(t.Context(), cfg)
	if err != nil || len(catalogue.Coarse) != 0 {
		t.Errorf("coarse is %v, %v", catalogue.Coarse, err)
	}
}

func TestSetupMendsAPublication(t *testing.T) {
	url := testbed.Database(t)
	c := newClient(t, url)
	c.exec(`CREATE TABLE a (id int PRIMARY KEY)`, `CREATE TABLE b (id int PRIMARY KEY)`, `CREATE PUBLICATION walpurge FOR TABLE a WITH (publish = 'insert')`)
	cfg := config(t, url, Watch{Table: "public.a"}, Watch{Table: "public.b"})
	want := []string{
		"ALTER PUBLICATION walpurge SET (publish = 'insert, update, delete, truncate', publish_via_partition_root = true" + c.moreOptions() + ")",
		"ALTER PUBLICATION walpurge ADD TABLE public.b",
		c.slotStatement(cfg.Slot),
	}
	done, err := Setup(t.Context(), cfg, false)
	if err != nil || !slices.Equal(done, want) {
		t.Fatalf("did %q, %v", done, err)
	}
	if _, err := Inspect(t.Context(), cfg); err != nil {
		t.Error(err)
	}
}

// An administrator runs what is printed for a role that may do none of it, and
// then the role can listen.
func TestSetupPrintsForAnAdministrator(t *testing.T) {
	url := testbed.Database(t)
	c := newClient(t, url)
	c.exec(`CREATE ROLE reader LOGIN`, `CREATE TABLE a (id int PRIMARY KEY, city text)`, `CREATE TABLE b (id int)`)
	t.Cleanup(func() { c.exec("DROP ROLE reader") })
	cfg := config(t, strings.Replace(url, "postgres@", "reader@", 1), Watch{Table: "public.a", Columns: []string{"city"}}, Watch{Table: "public.b"})
	_, err := Setup(t.Context(), cfg, false)
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
	printed, err := Setup(t.Context(), cfg, true)
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
	if again, err := Setup(t.Context(), cfg, true); err != nil || len(again) != 0 {
		t.Errorf("the second time it printed %q, %v", again, err)
	}
	r := listen(t, cfg)
	r.client = c
	r.expect(sql("INSERT INTO a VALUES (1, 'x')"), "insert a: city=?")
	// Somebody else's publication, which lacks a table.
	c.exec("ALTER PUBLICATION walpurge DROP TABLE b")
	if _, err := Setup(t.Context(), cfg, false); err == nil || !strings.Contains(err.Error(), "may not alter publication walpurge") {
		t.Errorf("setup of another's publication: %v", err)
	}
	if printed, err = Setup(t.Context(), cfg, true); err != nil || !slices.Equal(inOneGo(printed), []string{"ALTER PUBLICATION walpurge ADD TABLE public.b"}) {
		t.Errorf("printed %q, %v", printed, err)
	}
	// What is wrong for everybody is refused.
	cfg.Watches = append(cfg.Watches, Watch{Table: "public.nowhere"})
	if _, err := Setup(t.Context(), cfg, true); err == nil || !strings.Contains(err.Error(), "public.nowhere doesn't exist") {
		t.Errorf("a table that isn't there: %v", err)
	}
}

func TestGrants(t *testing.T) {
	for want, s := range map[string]serverFacts{
		"":                             {user: "app", mayReplicate: true, rds: true},
		`ALTER ROLE "App" REPLICATION`: {user: "App"},
		"GRANT rds_replication TO app": {user: "app", rds: true},
	} {
		if got := strings.Join(s.grants(), "; "); got != want {
			t.Errorf("%+v: %q, want %q", s, got, want)
		}
	}
}

func TestSlotsSurviveAFailoverWherePostgresCan(t *testing.T) {
	const old = "SELECT pg_create_logical_replication_slot('w', 'pgoutput')"
	const failover = "SELECT pg_create_logical_replication_slot('w', 'pgoutput', failover => true)"
	const oldCommand = "CREATE_REPLICATION_SLOT w LOGICAL pgoutput NOEXPORT_SNAPSHOT"
	const failoverCommand = "CREATE_REPLICATION_SLOT w LOGICAL pgoutput (SNAPSHOT 'nothing', FAILOVER)"
	for _, test := range []struct {
		version            int
		statement, command string
	}{
		{140000, old, oldCommand},
		{150004, old, oldCommand},
		{169999, old, oldCommand},
		{170000, failover, failoverCommand},
		{180001, failover, failoverCommand},
	} {
		if got := slotStatement("w", test.version); got != test.statement {
			t.Errorf("%d: %s", test.version, got)
		}
		if got := slotCommand("w", false, test.version); got != test.command {
			t.Errorf("%d: %s", test.version, got)
		}
		if got := slotCommand("w", true, test.version); got != "CREATE_REPLICATION_SLOT w TEMPORARY LOGICAL pgoutput NOEXPORT_SNAPSHOT" {
			t.Errorf("%d: a temporary one: %s", test.version, got)
		}
	}
}

func TestFailedSetupLeavesNothingBehind(t *testing.T) {
	url := testbed.Database(t)
	c := newClient(t, url)
	// The owner of everything who may not replicate can make all but the slot.
	c.exec(`CREATE ROLE half_owner LOGIN`, `CREATE TABLE a (id int NOT NULL, b int)`, `CREATE UNIQUE INDEX a_id ON a (id)`,
		`ALTER TABLE a REPLICA IDENTITY USING INDEX a_id`, `ALTER TABLE a OWNER TO half_owner`,
		`CREATE TABLE n (id int)`, `ALTER TABLE n REPLICA IDENTITY NOTHING`, `ALTER TABLE n OWNER TO half_owner`)
	database := c.text("SELECT current_database()")
	c.exec("GRANT CREATE ON DATABASE " + database + " TO half_owner")
	t.Cleanup(func() { c.exec("DROP OWNED BY half_owner", "DROP ROLE half_owner") })
	cfg := config(t, strings.Replace(url, "postgres@", "half_owner@", 1), Watch{Table: "public.a", Columns: []string{"b"}}, Watch{Table: "public.n"})
	state := "SELECT string_agg(c.relname || ' ' || c.relreplident::text || coalesce(' ' || x.relname, ''), ', ' ORDER BY c.relname) FROM pg_class c LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisreplident LEFT JOIN pg_class x ON x.oid = i.indexrelid WHERE c.relname IN ('a', 'n')"
	before := c.text(state)
	check := func(err error, words string) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), words) {
			t.Fatalf("Setup returns %v, want %q", err, words)
		}
		if got := leavings(c); got != "0 publications, 0 slots" {
			t.Errorf("left behind: %s", got)
		}
		if got := c.text(state); got != before {
			t.Errorf("the identities are %s and were %s", got, before)
		}
	}
	_, err := Setup(t.Context(), cfg, false)
	check(err, "may not replicate")

	// The publication has been made, and the slot waits for an open transaction
	// until the user has had enough.
	c.exec("ALTER ROLE half_owner REPLICATION")
	writer := newClient(t, url)
	writer.exec("BEGIN", "CREATE TABLE w (id int)")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	observer := newClient(t, url)
	go func() {
		eventually(t, "the slot is being made", func() bool { return leavings(observer) == "1 publications, 1 slots" })
		cancel()
	}()
	_, err = Setup(ctx, cfg, false) // waits for the writer, and is interrupted
	writer.exec("ROLLBACK")
	eventually(t, "the slot goes", func() bool { return leavings(c) == "0 publications, 0 slots" })
	check(err, "pg_create_logical_replication_slot")
}

func TestCoarseTablesAreListed(t *testing.T) {
	url := testbed.Database(t)
	newClient(t, url).exec(`CREATE TABLE rooms (id int PRIMARY KEY, city text, price int)`,
		`CREATE TABLE parts (id int PRIMARY KEY, city text) PARTITION BY LIST (id)`, `CREATE TABLE part1 PARTITION OF parts FOR VALUES IN (1)`,
		`ALTER TABLE parts REPLICA IDENTITY FULL`, `CREATE TABLE whole (id int, city text)`, `ALTER TABLE whole REPLICA IDENTITY FULL`)
	columns := []string{"id", "city"}
	catalogue, err := Inspect(t.Context(), config(t, url, Watch{Table: "public.rooms", Columns: columns}, Watch{Table: "public.parts", Columns: columns},
		Watch{Table: "public.whole", Columns: columns}, Watch{Table: "public.rooms", Columns: []string{"id"}}))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range catalogue.Coarse {
		got = append(got, c.Table+" "+strings.Join(c.Columns, ",")+": "+c.Mend)
	}
	want := []string{
		"public.rooms city: ALTER TABLE public.rooms REPLICA IDENTITY FULL",
		"public.parts city: ALTER TABLE public.part1 REPLICA IDENTITY FULL",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

package cdc

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"walpurge/dev/testbed"
	"walpurge/internal/coherence"
)

// wholePage is a response that depends on every row of a table.
func (r *rig) wholePage(table string) *page {
	r.t.Helper()
	p := &page{}
	eventually(r.t, "a page of "+table+" can be stored", func() bool {
		id, ok := r.guard.Table("public." + table)
		if !ok {
			return false
		}
		p.handle = new(coherence.Handle)
		p.deps = r.guard.Bind(&coherence.Template{Table: id}, nil, nil)
		return r.guard.Open(p.handle, p, p.deps) && r.guard.Admit(p.handle, p)
	})
	return p
}

// afterwards waits for a proof that is asked for from now on, as a strict read does.
func (r *rig) afterwards() {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	ready, stop := r.guard.WaitProven(r.cfg.Now())
	defer stop()
	eventually(r.t, "the question is asked", func() bool { // between two sessions nobody could
		_, err := r.listener.FlushPosition(ctx)
		return err == nil
	})
	select {
	case <-ready:
	case <-ctx.Done():
		r.t.Fatalf("no proof; status %+v", r.listener.Status())
	}
}

// partitioned is a table of two partitions with a row in each, and what else
// catalogue changes are tried on.
var partitioned = []string{
	"CREATE TYPE mood AS ENUM ('ok', 'sad')", "CREATE DOMAIN feeling AS mood", "CREATE TYPE addr AS (street text, town feeling)",
	"CREATE TYPE span AS RANGE (subtype = mood)",
	"CREATE TABLE kin (a int, b int)",
	"CREATE TABLE r (id int, k int, x text, n int DEFAULT 0, PRIMARY KEY (id, k)) PARTITION BY LIST (k)",
	"CREATE TABLE r1 PARTITION OF r FOR VALUES IN (1)", "CREATE TABLE r2 PARTITION OF r FOR VALUES IN (2)",
	"INSERT INTO r VALUES (1, 1, 'old'), (2, 2, 'old')",
	"CREATE TABLE spare (id int, k int, x text, n int DEFAULT 0, PRIMARY KEY (id, k))", "INSERT INTO spare VALUES (3, 3, 'there')",
	"CREATE TABLE g (id int PRIMARY KEY, x text, y text, moods mood[], lives addr, spans span[], kins kin[], price int)",
	"CREATE TABLE other (id int PRIMARY KEY)",
	"CREATE SCHEMA elsewhere",
	"ALTER TABLE r1 REPLICA IDENTITY FULL", "ALTER TABLE r2 REPLICA IDENTITY FULL", "ALTER TABLE r REPLICA IDENTITY FULL", "ALTER TABLE g REPLICA IDENTITY FULL",
}

func watchPartitioned() []Watch {
	return []Watch{
		{Table: "public.r", Columns: []string{"id", "k"}, Conditions: []string{"id", "k"}},
		{Table: "public.g", Columns: []string{"id", "x"}, Conditions: []string{"id", "x"}},
		{Table: "public.other"},
	}
}

// Each of these changes what a SELECT on the table gives and sends no event, or
// none in its name. Once a strict read has been proven, what depended on the table
// has ended, and what depends on another table has not.
func TestWhatTheStreamDoesNotTellDropsTheTable(t *testing.T) {
	const out, in = "ALTER TABLE r DETACH PARTITION r1", "ALTER TABLE r ATTACH PARTITION r1 FOR VALUES IN (1)"
	for name, test := range map[string]struct {
		table string
		do    []string
	}{
		"detached, written to and attached in one transaction":       {"r", sql("BEGIN; " + out + "; UPDATE r1 SET x = 'new'; " + in + "; COMMIT")},
		"detached, written to and attached in three":                 {"r", sql(out, "UPDATE r1 SET x = 'new'", in)},
		"truncate of one partition":                                  {"r", sql("TRUNCATE r1")},
		"a partition is attached with rows":                          {"r", sql("ALTER TABLE r ATTACH PARTITION spare FOR VALUES IN (3)")},
		"a partition is detached":                                    {"r", sql(out)},
		"a partition is dropped":                                     {"r", sql("DROP TABLE r1")},
		"a partition of a partition":                                 {"r", sql("CREATE TABLE r4 PARTITION OF r FOR VALUES IN (4) PARTITION BY LIST (id)", "CREATE TABLE r41 (LIKE r)", "INSERT INTO r41 VALUES (5, 4)", "ALTER TABLE r4 ATTACH PARTITION r41 FOR VALUES IN (5)")},
		"out of the publication, written to and back":                {"g", sql("ALTER PUBLICATION walpurge DROP TABLE g", "INSERT INTO g VALUES (1)", "ALTER PUBLICATION walpurge ADD TABLE g")},
		"out of the publication and back in one transaction":         {"g", sql("BEGIN; ALTER PUBLICATION walpurge DROP TABLE g; INSERT INTO g VALUES (1); ALTER PUBLICATION walpurge ADD TABLE g; COMMIT")},
		"renamed away and back":                                      {"g", sql("BEGIN; ALTER TABLE g RENAME TO gg; ALTER TABLE gg RENAME TO g; COMMIT")},
		"out of the schema and back":                                 {"g", sql("BEGIN; ALTER TABLE g SET SCHEMA elsewhere; ALTER TABLE elsewhere.g SET SCHEMA public; COMMIT")},
		"another table under its name, and back":                     {"g", sql("BEGIN; ALTER TABLE g RENAME TO gg; ALTER TABLE kin RENAME TO g; COMMIT", "BEGIN; ALTER TABLE g RENAME TO kin; ALTER TABLE gg RENAME TO g; COMMIT")},
		"its schema renamed away and back":                           {"g", sql("BEGIN; ALTER SCHEMA public RENAME TO away; ALTER SCHEMA away RENAME TO public; COMMIT")},
		"a rewrite":                                                  {"g", sql("VACUUM FULL g")},
		"a rewrite to the same type":                                 {"g", sql("ALTER TABLE g ALTER price TYPE int USING price + 1")},
		"a column more":                                              {"g", sql("ALTER TABLE g ADD COLUMN more int DEFAULT 7")},
		"a column less":                                              {"g", sql("ALTER TABLE g DROP COLUMN price")},
		"two columns change names":                                   {"g", sql("BEGIN; ALTER TABLE g RENAME x TO z; ALTER TABLE g RENAME y TO x; ALTER TABLE g RENAME z TO y; COMMIT")},
		"a column is renamed and back":                               {"g", sql("ALTER TABLE g RENAME price TO cost", "ALTER TABLE g RENAME cost TO price")},
		"another collation":                                          {"g", sql(`ALTER TABLE g ALTER x TYPE text COLLATE "C"`)},
		"a label of an enum in an array":                             {"g", sql("ALTER TYPE mood RENAME VALUE 'sad' TO 'gloomy'")},
		"a label of an enum and back":                                {"g", sql("ALTER TYPE mood RENAME VALUE 'sad' TO 'gloomy'", "ALTER TYPE mood RENAME VALUE 'gloomy' TO 'sad'")},
		"an attribute of a composite is renamed":                     {"g", sql("ALTER TYPE addr RENAME ATTRIBUTE street TO road CASCADE")},
		"an attribute of a composite is added":                       {"g", sql("ALTER TYPE addr ADD ATTRIBUTE zip text CASCADE")},
		"an attribute of a composite is dropped":                     {"g", sql("ALTER TYPE addr DROP ATTRIBUTE street CASCADE")},
		"a column of another table that is a type":                   {"g", sql("ALTER TABLE kin RENAME b TO c")},
		"row level security":                                         {"g", sql("ALTER TABLE g ENABLE ROW LEVEL SECURITY")},
		"row level security on and off":                              {"g", sql("ALTER TABLE g ENABLE ROW LEVEL SECURITY", "ALTER TABLE g DISABLE ROW LEVEL SECURITY")},
		"row level security for its owner":                           {"g", sql("ALTER TABLE g FORCE ROW LEVEL SECURITY")},
		"a policy":                                                   {"g", sql("CREATE POLICY p ON g USING (id > 7)")},
		"a policy is altered":                                        {"g", sql("CREATE POLICY p ON g USING (id > 7)", "ALTER POLICY p ON g USING (id > 8)")},
		"another owner":                                              {"g", sql("ALTER TABLE g OWNER TO pg_database_owner")},
		"unlogged and back, in a published schema or not":            {"g", sql("ALTER PUBLICATION walpurge DROP TABLE g; ALTER TABLE g SET UNLOGGED; ALTER TABLE g SET LOGGED; ALTER PUBLICATION walpurge ADD TABLE g")},
		"an enum that a domain, a composite and a range are made of": {"g", sql("ALTER TYPE mood ADD VALUE 'glad' AFTER 'ok'")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := testbed.Database(t)
			newClient(t, url).exec(partitioned...)
			r := listen(t, config(t, url, watchPartitioned()...))
			changed, untouched := r.wholePage(test.table), r.wholePage("other")
			fill := &page{handle: new(coherence.Handle), deps: changed.deps} // on its way meanwhile
			if !r.guard.Open(fill.handle, fill, fill.deps) {
				t.Fatal("the fill can't be opened")
			}
			r.exec(test.do...)
			r.afterwards()
			if changed.handle.Live() {
				t.Error("a page of the table is a hit for a strict read")
			}
			if r.guard.Admit(fill.handle, fill) {
				t.Error("a fill from before is stored")
			}
			if everything := strings.Contains(test.do[0], "ALTER SCHEMA"); untouched.handle.Live() == everything {
				t.Errorf("a page of another table is live: %t", !everything)
			}
			r.expectEpochs("start")
			r.wholePage(test.table)
			if n := len(r.listener.Status().Lost); n != 0 {
				t.Errorf("%d tables are lost", n)
			}
			r.expect(sql("INSERT INTO other VALUES (1)"), "insert other: ")
		})
	}
}

// What changes neither rows nor how they read ends nothing.
func TestWhatNobodyReadsDropsNothing(t *testing.T) {
	for name, do := range map[string]string{
		"a privilege on a table":  "GRANT SELECT ON g TO PUBLIC",
		"a privilege on a column": "GRANT SELECT (x) ON g TO PUBLIC",
		"a schema's privilege":    "GRANT CREATE ON SCHEMA public TO pg_monitor",
		"a default":               "ALTER TABLE g ALTER price SET DEFAULT 7",
		"another default":         "ALTER TABLE r ALTER n SET DEFAULT 7",
		"a statistics target":     "ALTER TABLE g ALTER price SET STATISTICS 7",
		"storage":                 "ALTER TABLE g ALTER x SET STORAGE EXTERNAL",
		"a parameter":             "ALTER TABLE g SET (fillfactor = 70)",
		"an index":                "CREATE INDEX ON g (price)",
		"a trigger":               "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; CREATE TRIGGER t BEFORE INSERT ON g FOR EACH ROW EXECUTE FUNCTION f()",
		"a check":                 "ALTER TABLE g ADD CHECK (id > 0)",
		"a foreign key":           "CREATE TABLE child (id int REFERENCES g)",
		"vacuum and analyze":      "VACUUM ANALYZE g, r",
		"a table more":            "CREATE TABLE more (id int PRIMARY KEY); ALTER PUBLICATION walpurge ADD TABLE more",
		"a comment":               "COMMENT ON TABLE g IS 'hello'",
		"a replica identity":      "ALTER TABLE other REPLICA IDENTITY FULL",
		"a partition's own":       "ALTER TABLE r1 REPLICA IDENTITY DEFAULT",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := testbed.Database(t)
			newClient(t, url).exec(partitioned...)
			r := listen(t, config(t, url, watchPartitioned()...))
			pages := []*page{r.wholePage("r"), r.wholePage("g"), r.wholePage("other")}
			for _, statement := range strings.SplitAfter(do, "; ") {
				if strings.HasPrefix(do, "CREATE FUNCTION") {
					statement = do
				}
				r.exec(statement)
				if statement == do {
					break
				}
			}
			r.afterwards()
			for i, p := range pages {
				if !p.handle.Live() {
					t.Errorf("page %d has ended", i)
				}
			}
			r.expectEpochs("start")
			// Decoding goes by the catalogue of now.
			r.expect(sql("INSERT INTO other VALUES (1)"), "insert other: ")
		})
	}
}

// Nothing that the proxy asks while it runs waits for a lock on a table or
// holds one: while all of them are locked, proofs go on and changes are noticed.
func TestNothingWaitsForALockOnATable(t *testing.T) {
	url := testbed.Database(t)
	newClient(t, url).exec(partitioned...)
	r := listen(t, config(t, url, watchPartitioned()...))
	page := r.wholePage("r")
	holder := newClient(t, url)
	holder.exec("BEGIN", "LOCK TABLE r2, g, other, spare, kin IN ACCESS EXCLUSIVE MODE")
	r.afterwards()
	r.exec("TRUNCATE r1")
	r.afterwards()
	if page.handle.Live() {
		t.Error("what was truncated is still a hit")
	}
	var locks []string
	watcher := newClient(t, url)
	for range 200 {
		locks = append(locks, watcher.text(`SELECT string_agg(DISTINCT l.relation::regclass::text, ' ') FROM pg_locks l JOIN pg_stat_activity a USING (pid)
 WHERE a.application_name = '`+applicationName+`' AND l.locktype = 'relation' AND l.relation >= 16384`))
	}
	if i := slices.IndexFunc(locks, func(l string) bool { return l != "" }); i >= 0 {
		t.Errorf("a lock of ours was seen on %s", locks[i])
	}
	holder.exec("ROLLBACK")
	r.expectEpochs("start")
}

// Without Redis the slot ends with its connection. A change of a table is no
// reason for that.
func TestTemporarySlotOutlivesAChangedTable(t *testing.T) {
	url := testbed.Database(t)
	newClient(t, url).exec(partitioned...)
	cfg := config(t, url, watchPartitioned()...)
	cfg.Temporary = true
	r := listen(t, cfg)
	changed, other := r.wholePage("g"), r.wholePage("other")
	r.exec("ALTER TABLE g ADD COLUMN more int DEFAULT 7", "CREATE TABLE r3 PARTITION OF r FOR VALUES IN (3)", "VACUUM FULL r1")
	r.afterwards()
	switch {
	case changed.handle.Live():
		t.Error("the table's page is a hit for a strict read")
	case r.major() == 14: // the stream is taken up again, and the slot with it
		r.expectEpochs("start", "temporary")
	default:
		if !other.handle.Live() {
			t.Error("another table's page has ended")
		}
		r.expectEpochs("start")
	}
}

// A writer that truncates partitions one after the other is not in our way, nor we in
// its.
func TestTruncatesOfPartitionsAreNotCancelled(t *testing.T) {
	url := testbed.Database(t)
	newClient(t, url).exec(partitioned...)
	r := listen(t, config(t, url, watchPartitioned()...))
	for i := range 20 {
		r.exec("BEGIN", "TRUNCATE r2")
		r.afterwards() // as often as it is asked
		r.exec("TRUNCATE r1", fmt.Sprintf("INSERT INTO r VALUES (%d, 1, 'x')", i), "COMMIT")
	}
}

// A table that can't be followed takes nothing along.
func TestLostTableLeavesTheOthers(t *testing.T) {
	for name, test := range map[string]struct{ harm, words, mend string }{
		"a partition unlogged": {"ALTER TABLE r1 SET UNLOGGED", "unlogged", "ALTER TABLE r1 SET LOGGED"},
		"dropped":              {"ALTER TABLE g RENAME TO gg", "public.g doesn't exist", "ALTER TABLE gg RENAME TO g"},
		"column gone":          {"ALTER TABLE g RENAME x TO town", "has no column x", "ALTER TABLE g RENAME town TO x"},
		"not published":        {"ALTER PUBLICATION walpurge DROP TABLE g", "doesn't have table public.g", "ALTER PUBLICATION walpurge ADD TABLE g"},
		"a child by INHERITS":  {"CREATE TABLE child () INHERITS (g)", "children by INHERITS", "DROP TABLE child"},
		"unlogged":             {"ALTER PUBLICATION walpurge DROP TABLE g; ALTER TABLE g SET UNLOGGED", "unlogged", "ALTER TABLE g SET LOGGED; ALTER PUBLICATION walpurge ADD TABLE g"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := testbed.Database(t)
			newClient(t, url).exec(partitioned...)
			r := listen(t, config(t, url, watchPartitioned()...))
			table := "g"
			if strings.Contains(test.harm, "r1") {
				table = "r"
			}
			gone, other := r.wholePage(table), r.wholePage("other")
			r.exec(test.harm)
			r.afterwards()
			if gone.handle.Live() || !other.handle.Live() {
				t.Errorf("live are the lost table's page %t, another's %t", gone.handle.Live(), other.handle.Live())
			}
			if r.guard.Open(gone.handle, gone, gone.deps) || r.guard.Joinable(gone.handle) {
				t.Error("a fill of a lost table may be stored, or shared")
			}
			r.guard.Close(gone.handle)
			lost := r.listener.Status().Lost
			if len(lost) != 1 || lost[0].Table != "public."+table || !strings.Contains(lost[0].Why, test.words) {
				t.Errorf("lost are %+v, want %s for %q", lost, table, test.words)
			}
			r.exec(test.mend)
			r.wholePage(table)
			if !other.handle.Live() {
				t.Error("another table's page has ended")
			}
			r.expectEpochs("start")
			eventually(t, "nothing is lost", func() bool { return len(r.listener.Status().Lost) == 0 })
		})
	}
}

package cdc

import (
	"slices"
	"strings"
	"testing"

	"walpurge/dev/testbed"
)

// TestChangesGoByTheWholeName: two tables whose names are alike once they are
// written without quotes, and columns that look like more than a name.
func TestChangesGoByTheWholeName(t *testing.T) {
	url := testbed.Database(t)
	c := newClient(t, url)
	c.exec(`CREATE SCHEMA "a.b"`, `CREATE SCHEMA a`, `CREATE TABLE "a.b".outbox ("f(x)" int PRIMARY KEY, "say ""x""" text)`,
		`CREATE TABLE a."b.outbox" ("f(x)" int PRIMARY KEY) PARTITION BY LIST ("f(x)")`, `CREATE TABLE a."b.outbox.1" PARTITION OF a."b.outbox" DEFAULT`)
	cfg := config(t, url, Watch{Table: `"a.b".outbox`, Columns: []string{"f(x)", `say "x"`}, Conditions: []string{"f(x)", `say "x"`}},
		Watch{Table: `a."b.outbox"`, Columns: []string{"f(x)"}, Conditions: []string{"f(x)"}})
	cfg.Publication = `it's "all", \`
	want := []string{
		`ALTER TABLE "a.b".outbox REPLICA IDENTITY FULL`,
		`CREATE PUBLICATION "it's ""all"", \" FOR TABLE "a.b".outbox, a."b.outbox" WITH (publish = 'insert, update, delete, truncate', publish_via_partition_root = true` + c.moreOptions() + ")",
		c.slotStatement(cfg.Slot),
	}
	printed, err := Setup(t.Context(), cfg, true)
	if err != nil || !slices.Equal(slices.DeleteFunc(slices.Clone(printed), func(s string) bool { return strings.Contains(s, "lock_timeout") }), want) {
		t.Fatalf("printed %q, %v\nwant %q", printed, err, want)
	}
	c.exec(printed...) // as psql does
	if again, err := Setup(t.Context(), cfg, false); err != nil || len(again) != 0 {
		t.Errorf("after that setup did %q, %v", again, err)
	}
	r := listen(t, cfg)
	r.expect(sql(`INSERT INTO "a.b".outbox VALUES (1, 'x')`), `insert "a.b".outbox: f(x)=1 say "x"=x`)
	r.expect(sql(`INSERT INTO a."b.outbox" VALUES (2)`), `insert a."b.outbox": f(x)=2`)
	r.expect(sql(`UPDATE "a.b".outbox SET "say ""x""" = 'y'`), `update "a.b".outbox: f(x)=1 say "x"=x -> f(x)=1 say "x"=y [say "x"]`)
	r.expect(sql(`TRUNCATE a."b.outbox"`), `whole a."b.outbox"`)
}

// TestRefusedNames: a mend says what to write, a statement what psql takes.
func TestRefusedNames(t *testing.T) {
	url := testbed.Database(t)
	c := newClient(t, url)
	c.exec(`CREATE SCHEMA "a.b"`, `CREATE SCHEMA a`, `CREATE TABLE "a.b".outbox (id int PRIMARY KEY, "price (eur)" int)`, `CREATE TABLE "Price list" (id int PRIMARY KEY)`,
		`CREATE TABLE a."Root.1" (id int PRIMARY KEY) PARTITION BY LIST (id)`, `CREATE TABLE leaf PARTITION OF a."Root.1" DEFAULT`,
		`CREATE UNLOGGED TABLE "Fast.one" (id int PRIMARY KEY)`)
	database := c.text("SELECT current_database()")
	for _, test := range []struct{ table, column, want string }{
		{`a."b.outbox"`, "", `table a."b.outbox" doesn't exist in database ` + database + `; did you mean '"a.b".outbox'?`},
		{`"a.b".outbux`, "", `table "a.b".outbux doesn't exist in database ` + database + `; did you mean '"a.b".outbox'?`},
		{`Price_list`, "", `table public.Price_list doesn't exist in database ` + database + `; did you mean 'public."Price list"'?`},
		{`outbox`, "", `table public.outbox doesn't exist in database ` + database + `; did you mean '"a.b".outbox'?`},
		{`leaf`, "", `public.leaf is a partition of a."Root.1", and changes are published in the name of the latter; depend on 'a."Root.1"'`},
		{`"Fast.one"`, "", `public."Fast.one" is unlogged: its changes are not in the WAL; ALTER TABLE public."Fast.one" SET LOGGED`},
		{`"a.b".outbox`, "price (usd)", `table "a.b".outbox has no column "price (usd)"; did you mean '"price (eur)"'?`},
		{`"a.b".outbox`, "zzz", `table "a.b".outbox has no column zzz; the columns are id, '"price (eur)"'`},
	} {
		w := Watch{Table: test.table}
		if test.column != "" {
			w.Columns = []string{test.column}
		}
		if got := refused(t, config(t, url, w)); !slices.Equal(got, []string{test.want}) {
			t.Errorf("%s: got %q\nwant %q", test.table, got, test.want)
		}
	}
	for _, none := range []string{"", "a.b.c", `"a`} {
		if _, err := Inspect(t.Context(), config(t, url, Watch{Table: none})); err == nil || !strings.Contains(err.Error(), "use NAME or SCHEMA.NAME") {
			t.Errorf("a table called %q: %v", none, err)
		}
	}
}

// TestEveryKeywordCanBeAName: quoteName quotes the words of the server at hand
// that have to be.
func TestEveryKeywordCanBeAName(t *testing.T) {
	c := newClient(t, testbed.Database(t))
	for word := range strings.FieldsSeq(c.text("SELECT string_agg(word, ' ') FROM pg_get_keywords()")) {
		name, table := quoteName(word), quoteTable(word, word)
		c.exec("BEGIN", "CREATE SCHEMA "+name, `CREATE TABLE "`+word+`"."`+word+`" (i int UNIQUE NOT NULL)`, "ALTER TABLE "+table+" REPLICA IDENTITY FULL",
			"CREATE PUBLICATION "+name+" FOR TABLE "+table, "ALTER PUBLICATION "+name+" DROP TABLE "+table, "ALTER PUBLICATION "+name+" ADD TABLE "+table, "ROLLBACK")
	}
}

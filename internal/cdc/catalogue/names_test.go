package catalogue

import (
	"slices"
	"strings"
	"testing"

	"walpurge/dev/testbed"
)

// TestRefusedNames: a mend says what to write, a statement what psql takes.
func TestRefusedNames(t *testing.T) {
	url := testbed.Database(t)
	c := newDB(t, url)
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
		if got := refusedBy(t, scope(t, url, w)); !slices.Equal(got, []string{test.want}) {
			t.Errorf("%s: got %q\nwant %q", test.table, got, test.want)
		}
	}
	for _, none := range []string{"", "a.b.c", `"a`} {
		if _, err := Inspect(t.Context(), scope(t, url, Watch{Table: none})); err == nil || !strings.Contains(err.Error(), "use NAME or SCHEMA.NAME") {
			t.Errorf("a table called %q: %v", none, err)
		}
	}
}

// TestEveryKeywordCanBeAName: quoteName quotes the words of the server at hand
// that have to be.
func TestEveryKeywordCanBeAName(t *testing.T) {
	c := newDB(t, testbed.Database(t))
	for word := range strings.FieldsSeq(c.text("SELECT string_agg(word, ' ') FROM pg_get_keywords()")) {
		name, table := quoteName(word), quoteTable(word, word)
		c.exec("BEGIN", "CREATE SCHEMA "+name, `CREATE TABLE "`+word+`"."`+word+`" (i int UNIQUE NOT NULL)`, "ALTER TABLE "+table+" REPLICA IDENTITY FULL",
			"CREATE PUBLICATION "+name+" FOR TABLE "+table, "ALTER PUBLICATION "+name+" DROP TABLE "+table, "ALTER PUBLICATION "+name+" ADD TABLE "+table, "ROLLBACK")
	}
}

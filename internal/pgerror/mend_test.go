package pgerror

import (
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"walpurge/dev/testbed"
)

// TestMendFitsTheAnswer: only what the URL says is mended there.
func TestMendFitsTheAnswer(t *testing.T) {
	url := testbed.Database(t)
	admin, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close(t.Context())
	exec := func(statements ...string) {
		t.Helper()
		for _, s := range statements {
			if _, err := admin.Exec(t.Context(), s); err != nil {
				t.Fatalf("%s: %v", s, err)
			}
		}
	}
	exec("CREATE ROLE crowded LOGIN CONNECTION LIMIT 0", "CREATE ROLE poor LOGIN", "CREATE TABLE t (id int)", "CREATE TABLE other (id int)", "CREATE SCHEMA closed")
	defer exec("DROP ROLE crowded", "DROP ROLE poor")
	raise := func(code string) string {
		return "DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '" + code + "'; END $$"
	}
	exec("BEGIN", "LOCK TABLE t")
	for _, test := range []struct {
		user, database string
		statements     string
		code           string
		passes         bool
		want           string
	}{
		{"crowded", "", "", "53300", true, "CONNECTION LIMIT"},
		{"nobody", "", "", "28000", false, "correct the user in postgres.url"},
		{"postgres", "nothing", "", "3D000", false, "correct the database's name in postgres.url"},
		{"postgres", "template0", "", "55000", false, "in the state that it names"},
		{"poor", "", "TABLE other", "42501", false, "lacks a right"},
		{"poor", "", "CREATE TABLE closed.t ()", "42501", false, "lacks a right"},
		{"postgres", "", "SET lock_timeout = 1; TABLE t", "55P03", true, "end that transaction"},
		{"postgres", "", "SET statement_timeout = 1; TABLE t", "57014", true, "statement_timeout"},
		{"postgres", "", "BEGIN READ ONLY; CREATE TABLE x ()", "25006", false, "default_transaction_read_only"},
		{"postgres", "", raise("53100"), "53100", true, "disk is full"},
		{"postgres", "", raise("53200"), "53200", true, "memory"},
		{"postgres", "", raise("53400"), "53400", true, "raise the limit"},
		{"postgres", "", raise("57P01"), "57P01", true, "shutting down"},
		{"postgres", "", raise("57P03"), "57P03", true, "starting"},
		{"postgres", "", raise("40P01"), "40P01", true, "try again"},
		{"postgres", "", raise("58030"), "58030", true, "see its log"},
		{"postgres", "", raise("XX001"), "XX001", false, "see its log"},
		{"postgres", "", raise("22012"), "22012", false, "see the server's log"},
	} {
		conf, err := pgx.ParseConfig(url) // of each role
		if err != nil {
			t.Fatal(err)
		}
		conf.User = test.user
		if test.database != "" {
			conf.Database = test.database
		}
		conn, err := pgx.ConnectConfig(t.Context(), conf)
		if err == nil {
			_, err = conn.PgConn().Exec(t.Context(), test.statements).ReadAll()
			_ = conn.Close(t.Context())
		}
		if err == nil || !strings.Contains(err.Error(), "SQLSTATE "+test.code) {
			t.Errorf("%s: %v", test.code, err)
			continue
		}
		if got := Mend(err); !strings.Contains(got, test.want) || Passes(err) != test.passes || strings.HasPrefix(got, "correct postgres.url") {
			t.Errorf("%s: %q, passes %t", test.code, got, Passes(err))
		}
	}
	if err := errors.New("dial: refused"); !Passes(err) || Mend(err) != "correct postgres.url, or start PostgreSQL" {
		t.Error(Mend(err))
	}
}

package cdc

import (
	"slices"
	"strings"
	"testing"

	"walpurge/dev/testbed"
	"walpurge/internal/cdc/catalogue"
)

// TestChangesGoByTheWholeName: two tables whose names are alike once they are
// written without quotes, and columns that look like more than a name.
func TestChangesGoByTheWholeName(t *testing.T) {
	url := testbed.Database(t)
	c := newClient(t, url)
	c.exec(`CREATE SCHEMA "a.b"`, `CREATE SCHEMA a`, `CREATE TABLE "a.b".outbox ("f(x)" int PRIMARY KEY, "say ""x""" text)`,
		`CREATE TABLE a."b.outbox" ("f(x)" int PRIMARY KEY) PARTITION BY LIST ("f(x)")`, `CREATE TABLE a."b.outbox.1" PARTITION OF a."b.outbox" DEFAULT`)
	cfg := config(t, url, catalogue.Watch{Table: `"a.b".outbox`, Columns: []string{"f(x)", `say "x"`}, Conditions: []string{"f(x)", `say "x"`}},
		catalogue.Watch{Table: `a."b.outbox"`, Columns: []string{"f(x)"}, Conditions: []string{"f(x)"}})
	cfg.Publication = `it's "all", \`
	want := []string{
		`ALTER TABLE "a.b".outbox REPLICA IDENTITY FULL`,
		`CREATE PUBLICATION "it's ""all"", \" FOR TABLE "a.b".outbox, a."b.outbox" WITH (publish = 'insert, update, delete, truncate', publish_via_partition_root = true` + c.moreOptions() + ")",
		c.slotStatement(cfg.Slot),
	}
	printed, err := catalogue.Setup(t.Context(), cfg.Scope, true)
	if err != nil || !slices.Equal(slices.DeleteFunc(slices.Clone(printed), func(s string) bool { return strings.Contains(s, "lock_timeout") }), want) {
		t.Fatalf("printed %q, %v\nwant %q", printed, err, want)
	}
	c.exec(printed...) // as psql does
	if again, err := catalogue.Setup(t.Context(), cfg.Scope, false); err != nil || len(again) != 0 {
		t.Errorf("after that setup did %q, %v", again, err)
	}
	r := listen(t, cfg)
	r.expect(sql(`INSERT INTO "a.b".outbox VALUES (1, 'x')`), `insert "a.b".outbox: f(x)=1 say "x"=x`)
	r.expect(sql(`INSERT INTO a."b.outbox" VALUES (2)`), `insert a."b.outbox": f(x)=2`)
	r.expect(sql(`UPDATE "a.b".outbox SET "say ""x""" = 'y'`), `update "a.b".outbox: f(x)=1 say "x"=x -> f(x)=1 say "x"=y [say "x"]`)
	r.expect(sql(`TRUNCATE a."b.outbox"`), `whole a."b.outbox"`)
}

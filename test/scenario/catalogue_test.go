package scenario

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"walpurge/dev/testbed"
	"walpurge/test/rig"
)

// strictTables are tables whose every row a page shows, in three kinds of
// publications.
var strictTables = []string{
	"create type mood as enum ('ok', 'sad')",
	"create table r (id int, k int, x text, primary key (id, k)) partition by list (k)",
	"create table r1 partition of r for values in (1)", "create table r2 partition of r for values in (2)",
	"insert into r values (1, 1, 'old'), (2, 2, 'old')",
	"create table g (id int primary key, a mood[])", "insert into g values (1, '{sad}')",
	"create table calm (id int primary key)",
	"create schema away",
	"create role reader", "grant select on all tables in schema public to reader",
}

const strictRoutes = `
routes:
  - path: /r
    depends_on: [r]
    consistency: strict
  - path: /g
    depends_on: [g]
    consistency: strict
  - path: /calm
    depends_on: [calm]
`

// TestStrictPageIsWhatSelectGives: a page on a strict route is what the same
// SELECT gives once a statement has returned, whatever it was and whatever the
// publication is made of; and it is a hit again then. Pages of another table stay.
func TestStrictPageIsWhatSelectGives(t *testing.T) {
	kinds := map[string]string{
		"tables":  "create publication walpurge for table r, g, calm with (publish_via_partition_root = true)",
		"all":     "create publication walpurge for all tables with (publish_via_partition_root = true)",
		"schemas": "create publication walpurge for tables in schema public with (publish_via_partition_root = true)",
	}
	for kind, publication := range kinds {
		t.Run(kind, func(t *testing.T) {
			url := testbed.Database(t)
			pool, err := pgxpool.New(t.Context(), url)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				for _, sql := range []string{"drop owned by reader", "drop role reader"} {
					_, _ = pool.Exec(context.Background(), sql)
				}
				pool.Close()
			})
			for _, sql := range append(strictTables, publication) {
				if _, err := pool.Exec(t.Context(), sql); err != nil {
					t.Fatalf("%s: %v", sql, err)
				}
			}
			r := rig.New(t, rig.Options{DBURL: url, Routes: strictRoutes, Extra: "strict_wait: 10s\n"})
			read := func(ctx context.Context, table string) (text string) {
				// As a reader, whom policies bind.
				err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
					if _, err := tx.Exec(ctx, "set local role reader"); err != nil {
						return err
					}
					return tx.QueryRow(ctx, "select coalesce(string_agg(t::text, ' ' order by t::text), '') from "+table+" as t").Scan(&text)
				})
				if err != nil {
					return "error: " + err.Error()
				}
				return text
			}
			hook := func(w http.ResponseWriter, q *http.Request) bool {
				_, _ = w.Write([]byte(read(q.Context(), strings.TrimPrefix(q.URL.Path, "/"))))
				return true
			}
			r.Hook.Store(&hook)
			r.Warm("/calm")
			const out, in = "alter table r detach partition r1", "alter table r attach partition r1 for values in (1)"
			for _, test := range []struct {
				page string
				do   []string
			}{
				{"/r", []string{"begin; " + out + "; update r1 set x = 'new'; " + in + "; commit"}},
				{"/r", []string{out, "update r1 set x = 'newer'", in}},
				{"/r", []string{"truncate r1"}},
				{"/r", []string{"insert into r values (3, 1, 'three')"}},
				{"/r", []string{out}},
				{"/r", []string{in}},
				{"/r", []string{"create table r3 partition of r for values in (3); grant select on r3 to reader", "insert into r values (4, 3, 'four')"}},
				{"/g", []string{"alter type mood rename value 'sad' to 'gloomy'"}},
				{"/g", []string{"begin; alter table g set schema away; alter table away.g set schema public; commit", "insert into g values (2, '{ok}')"}},
				{"/g", []string{"alter table g enable row level security"}},
				{"/g", []string{"create policy few on g using (id = 1)"}},
				{"/g", []string{"alter policy few on g using (id = 2)"}},
				{"/g", []string{"alter table g disable row level security"}},
				{"/g", []string{"alter table g add column more int default 7"}},
				{"/g", []string{"vacuum full g", "delete from g where id = 1"}},
			} {
				r.Warm(test.page)
				for _, sql := range test.do {
					if _, err := pool.Exec(t.Context(), sql, pgx.QueryExecModeSimpleProtocol); err != nil {
						t.Fatalf("%s: %v", sql, err)
					}
					got, want := r.Get(test.page), read(t.Context(), strings.TrimPrefix(test.page, "/"))
					if got.Body != want {
						t.Errorf("after %s the page is %q (%s), and a SELECT gives %q", sql, got.Body, got.Header.Get("Cache-Status"), want)
					}
				}
			}
			r.Warm("/r", "/g")
			r.StillHits("/calm")
			if n := r.Metric("walpurge_epochs_total"); n != 1 {
				t.Errorf("%v epochs have begun", n)
			}
		})
	}
}

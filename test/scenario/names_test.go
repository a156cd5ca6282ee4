package scenario

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"walpurge/dev/testbed"
	"walpurge/internal/sidecar"
	"walpurge/test/rig"
)

// longName has as many bytes as PostgreSQL lets a name have.
var longName = strings.Repeat("länge", 10) + "abc"

// oddTables are tables whose names can be told apart only by where a part ends,
// by their letter case, or by their quotes.
var oddTables = []string{
	`create schema "a.b"`, `create schema a`, `create schema "Odd, ""schema"""`,
	`create table "a.b".outbox (id int primary key)`,
	`create table a."b.outbox" (id int primary key)`,
	`create table "Posts" (id int primary key)`,
	`create table posts (id int primary key)`,
	`create table "Odd, ""schema"""."Größe (mm)" (id int primary key)`,
	`create table "select" (id int primary key)`,
	`create table "` + longName + `" (id int primary key)`,
	`create table goods (id int primary key, "price (eur)" int, "lower(city)" text, "Said ""so"".x" text, "select" text, "Größe" text,
		"Name" text, name text, "` + longName + `" text, other int)`,
	`alter table goods replica identity full`,
}

const oddRoutes = `
routes:
  - path: /schema
    depends_on: ['"a.b".outbox']
  - path: /table
    depends_on: ['a."b.outbox"']
  - path: /upper
    depends_on: [Posts]
  - path: /lower
    depends_on: [posts]
  - path: /odd
    depends_on: ['"Odd, ""schema"""."Größe (mm)"']
  - path: /reserved
    depends_on: [select]
  - path: /long
    depends_on: [LONG]
  - path: /price
    depends_on: [{ table: goods, where: { '"price (eur)"': query.x } }]
  - path: /function
    depends_on: [{ table: goods, where: { '"lower(city)"': query.x } }]
  - path: /folded
    depends_on: [{ table: goods, where: { 'lower("lower(city)")': query.x } }]
  - path: /quoted
    depends_on: [{ table: goods, where: { '"Said ""so"".x"': query.x } }]
  - path: /keyword
    depends_on: [{ table: goods, where: { select: query.x } }]
  - path: /unicode
    depends_on: [{ table: goods, where: { Größe: query.x } }]
  - path: /capital
    depends_on: [{ table: goods, where: { Name: query.x } }]
  - path: /small
    depends_on: [{ table: goods, where: { name: query.x } }]
  - path: /longest
    depends_on: [{ table: goods, where: { LONG: query.x } }]
  - path: /columns
    depends_on: [{ table: goods, columns: [Größe, '"price (eur)"'] }]
  - path: /named
    depends_on: response
`

// oddRig has a proxy on these tables. Its publication has a name that
// PostgreSQL allows and that has to be quoted everywhere.
func oddRig(t *testing.T, redis string, proxies int) *rig.Rig {
	t.Helper()
	url := testbed.Database(t)
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	for _, sql := range oddTables {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	return rig.New(t, rig.Options{
		DBURL: url, Redis: redis, Proxies: proxies, Routes: strings.ReplaceAll(oddRoutes, "LONG", longName),
		DBExtra: `  publication: 'Our "purge", it''s 5 € \ all'` + "\n" +
			`  watch: [{ table: goods, columns: ['"price (eur)"', name] }, { table: '"a.b".outbox', columns: [id] }, 'a."b.outbox"', Posts, posts]` + "\n",
	})
}

// TestNamesAreTakenInParts: a change purges what depends on its table and on
// its column's value, whatever the names, and nothing of another table or
// column whose name looks the same once it is written without quotes.
func TestNamesAreTakenInParts(t *testing.T) {
	r := oddRig(t, "", 1)
	hook := func(w http.ResponseWriter, _ *http.Request) bool {
		_, _ = w.Write([]byte("ok"))
		return true
	}
	r.Hook.Store(&hook)

	tables := map[string]string{
		"/schema": `"a.b".outbox`, "/table": `a."b.outbox"`, "/upper": `"Posts"`, "/lower": `posts`,
		"/odd": `"Odd, ""schema"""."Größe (mm)"`, "/reserved": `"select"`, "/long": `"` + longName + `"`,
	}
	var pages []string
	for page := range tables {
		pages = append(pages, page)
	}
	for changed, table := range tables {
		r.Warm(pages...)
		r.Exec(`insert into ` + table + ` select coalesce(max(id), 0) + 1 from ` + table)
		r.CaughtUp()
		r.Misses(changed)
		for _, page := range pages {
			if page != changed {
				r.StillHits(page)
			}
		}
	}

	columns := map[string]string{
		"/price": `"price (eur)"`, "/function": `"lower(city)"`, "/quoted": `"Said ""so"".x"`, "/keyword": `"select"`, "/unicode": `"Größe"`,
		"/capital": `"Name"`, "/small": `name`, "/longest": `"` + longName + `"`,
	}
	for page, column := range columns {
		r.Exec(`delete from goods`)
		r.Exec(`insert into goods (id, ` + column + `) values (1, '1'), (2, '2')`)
		r.CaughtUp()
		r.Warm(page+"?x=1", page+"?x=2", page+"?x=3")
		r.Exec(`update goods set ` + column + ` = '3' where id = 1`)
		r.CaughtUp()
		r.Misses(page+"?x=1", page+"?x=3")
		r.StillHits(page + "?x=2")
	}
	r.Exec(`update goods set "lower(city)" = 'LAGOS' where id = 1`)
	r.CaughtUp()
	r.Warm("/folded?x=lagos", "/folded?x=accra", "/columns")
	r.Exec(`update goods set "lower(city)" = 'Abuja' where id = 1`)
	r.CaughtUp()
	r.Misses("/folded?x=lagos")
	r.StillHits("/folded?x=accra", "/columns")
	r.Exec(`update goods set "price (eur)" = 77 where id = 1`)
	r.CaughtUp()
	r.Misses("/columns")
}

// TestNamesBetweenProxies: the one that follows is told of each table by its
// whole name.
func TestNamesBetweenProxies(t *testing.T) {
	r := oddRig(t, testbed.SharedRedis(t), 2)
	hook := func(w http.ResponseWriter, _ *http.Request) bool {
		_, _ = w.Write([]byte("ok"))
		return true
	}
	r.Hook.Store(&hook)
	peer := r.Peers[0]
	for _, test := range []struct{ sql, changed, other string }{
		{`insert into "a.b".outbox values (1)`, "/schema", "/table"},
		{`insert into a."b.outbox" values (1)`, "/table", "/schema"},
		{`insert into "Odd, ""schema"""."Größe (mm)" values (1)`, "/odd", "/upper"},
		{`insert into goods (id, "price (eur)") values (1, 5)`, "/price?x=5", "/price?x=6"},
	} {
		peer.Warm(test.changed, test.other)
		r.Exec(test.sql)
		peer.CaughtUp()
		peer.Misses(test.changed)
		peer.StillHits(test.other)
	}
}

// TestNamesInDependsOn: what a response names is read in the same way. A name
// that could be that of two tables is none, and the response isn't kept.
func TestNamesInDependsOn(t *testing.T) {
	r := oddRig(t, "", 1)
	field := ""
	hook := func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Depends-On", field)
		_, _ = w.Write([]byte("ok"))
		return true
	}
	r.Hook.Store(&hook)
	touch := func(table string) {
		r.Exec(`insert into ` + table + ` select coalesce(max(id), 0) + 1 from ` + table)
		r.CaughtUp()
	}
	for i, test := range []struct{ field, table, other string }{
		{`"\"a.b\".outbox"`, `"a.b".outbox`, `a."b.outbox"`},
		{`"a.\"b.outbox\""`, `a."b.outbox"`, `"a.b".outbox`},
		{`Posts`, `"Posts"`, `posts`},
		{`"posts"`, `posts`, `"Posts"`},
		{`public.posts`, `posts`, `"Posts"`},
		{`"\"public\".\"Posts\""`, `"Posts"`, `posts`},
		{`%"%22Odd, %22%22schema%22%22%22.%22Gr%c3%b6%c3%9fe (mm)%22"`, `"Odd, ""schema"""."Größe (mm)"`, `posts`}, // RFC 9651, 3.3.8
		{`a.b.outbox`, "", ""},
		{`"a.b.outbox"`, "", ""},
		{`b.outbox`, "", ""},
		{`"\"a.b.outbox"`, "", ""},
	} {
		field = test.field
		page := "/named?n=" + string(rune('a'+i))
		if test.table == "" {
			for range 3 {
				r.Misses(page)
			}
			continue
		}
		r.Warm(page)
		touch(test.other)
		r.StillHits(page)
		touch(test.table)
		r.Misses(page)
	}
}

// TestNamesAreShownAsTheyAreWritten: explain, the metrics and the dashboard's
// changes tell the tables apart, in a form that the file takes.
func TestNamesAreShownAsTheyAreWritten(t *testing.T) {
	r := oddRig(t, "", 1)
	var out strings.Builder
	for request, want := range map[string]string{
		"/schema":     `a change of any row of "a.b".outbox`,
		"/table":      `a change of any row of a."b.outbox"`,
		"/price?x=1":  `a change of a row of public.goods that has or had "price (eur)" = '1'`,
		"/folded?x=1": `a change of a row of public.goods that has or had lower("lower(city)") = '1'`,
		"/columns":    `a change of any row of public.goods, if it changes Größe, "price (eur)" or adds or removes the row`,
	} {
		out.Reset()
		if err := sidecar.Run(t.Context(), []string{"explain", "-json", "-config", r.Config, request}, &out, &out); err != nil {
			t.Fatalf("%s: %v", request, err)
		}
		var e struct {
			PurgedBy []string `json:"purged_by"`
		}
		if err := json.Unmarshal([]byte(out.String()), &e); err != nil || len(e.PurgedBy) != 1 || e.PurgedBy[0] != want {
			t.Errorf("%s: purged by %q, %v, want %q", request, e.PurgedBy, err, want)
		}
	}
	r.Exec(`insert into "a.b".outbox values (1)`)
	r.Exec(`insert into a."b.outbox" values (1), (2)`)
	r.CaughtUp()
	r.Eventually("both tables are counted", func() bool {
		resp, err := r.Client.Get(r.Admin + "/metrics")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		out.Reset()
		if err := resp.Write(&out); err != nil {
			return false
		}
		return strings.Contains(out.String(), `walpurge_changes_total{op="insert",table="\"a.b\".outbox"} 1`) &&
			strings.Contains(out.String(), `walpurge_changes_total{op="insert",table="a.\"b.outbox\""} 2`)
	})
}

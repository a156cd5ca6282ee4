package scenario

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"walpurge/dev/testbed"
	"walpurge/internal/sidecar"
	"walpurge/test/rig"
)

// leftovers counts what a refused start could have left in the database.
func leftovers(t *testing.T, dbURL string) (n int) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dbURL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	err = conn.QueryRow(t.Context(), `select
		(select count(*) from pg_publication) +
		(select count(*) from pg_replication_slots where database = current_database())`).Scan(&n)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func withUser(t *testing.T, dbURL, user string) string {
	t.Helper()
	u, err := url.Parse(dbURL)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.User(user)
	return u.String()
}

// TestRefusalsAreOneSentenceWithTheMend: everything that is wrong at the start
// ends with exit status 2 and a sentence that says what to do, and leaves
// nothing behind in the database.
func TestRefusalsAreOneSentenceWithTheMend(t *testing.T) {
	const schema = `
		create table listings (id bigint primary key, city text, price numeric);
		create table keyless (id bigint, city text);
		create unlogged table unlogged (id bigint primary key);
		create view shown as select * from listings;`
	route := func(dependsOn string) string {
		return "routes:\n  - path: /x\n    depends_on:\n      - " + dependsOn + "\n"
	}
	for _, c := range []struct {
		name     string
		settings map[string]string // of a server of its own
		sql      string
		user     string
		database string
		config   string // after the postgres section
		slot     string
		want     []string // all in the message
		left     int
		also     int // further sentences
		since    int // server_version_num
	}{
		{name: "unknown key", config: "memroy: 1GiB\n", want: []string{":6:1", "memroy", "memory"}},
		{name: "no such table", config: route("listing"), want: []string{":9:9", "listing", "listings"}},
		{name: "no such column", config: route("{ table: listings, where: { town: query.city } }"), want: []string{":9:", "town", "listings"}},
		{name: "no replica identity", config: route("keyless"), want: []string{":9:9", "keyless", "REPLICA IDENTITY FULL"}},
		{name: "identity nothing", sql: `alter table listings replica identity nothing`, config: route("listings"), want: []string{"REPLICA IDENTITY"}},
		{name: "unlogged", config: route("unlogged"), want: []string{"unlogged", "LOGGED"}},
		{name: "view", config: route("shown"), want: []string{"view", "table"}},
		{name: "wal_level", settings: map[string]string{"wal_level": "replica"}, config: route("listings"), want: []string{"wal_level", "logical", "restart"}},
		{name: "no privilege", user: "reader", sql: `create role reader login; grant select on all tables in schema public to reader`, config: route("listings"), want: []string{"ALTER ROLE reader REPLICATION", "GRANT CREATE ON DATABASE"}, also: 1},
		{name: "slot of another plugin", slot: "other_plugin", sql: `select pg_create_logical_replication_slot('other_plugin', 'test_decoding')`, config: "redis: { url: REDIS }\n" + route("listings"), want: []string{"other_plugin", "test_decoding", "pgoutput"}, left: 1},
		{name: "physical slot", slot: "physical_one", sql: `select pg_create_physical_replication_slot('physical_one')`, config: "redis: { url: REDIS }\n" + route("listings"), want: []string{"physical_one", "physical"}},
		{name: "row filter", sql: `create publication walpurge for table listings where (id > 0)`, config: route("listings"), want: []string{"publication", "filter"}, left: 1, since: 150000},
		{name: "incomplete publication", sql: `create publication walpurge`, config: route("listings"), want: []string{"publication", "listings", "proxy setup"}, left: 1},
		{name: "nobody there", config: route("listings"), user: "nobody at all", want: []string{`: connect to PostgreSQL: the server at 127.0.0.1:`, `says: role "nobody at all" does not exist (SQLSTATE 28000); correct the user in postgres.url`}},
		{name: "no such database", config: route("listings"), database: "nothing", want: []string{`says: database "nothing" does not exist (SQLSTATE 3D000); correct the database's name in postgres.url, or create it`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dbURL := ""
			if c.settings != nil {
				dbURL = testbed.NewPostgres(t, c.settings).URL("postgres")
			} else {
				dbURL = testbed.Database(t)
			}
			conn, err := pgx.Connect(t.Context(), dbURL)
			if err != nil {
				t.Fatal(err)
			}
			var version int
			if err := conn.QueryRow(t.Context(), "select current_setting('server_version_num')::int").Scan(&version); err != nil {
				t.Fatal(err)
			}
			if version < c.since { // there is no such thing
				_ = conn.Close(t.Context())
				return
			}
			for _, sql := range []string{schema, c.sql} { // a slot wants a transaction of its own
				if _, err := conn.Exec(t.Context(), sql); err != nil {
					t.Fatal(err)
				}
			}
			t.Cleanup(func() {
				ctx := context.WithoutCancel(t.Context())
				if c.slot != "" {
					_, _ = conn.Exec(ctx, `select pg_drop_replication_slot($1)`, c.slot)
				}
				_, _ = conn.Exec(ctx, `drop owned by reader; drop role reader`)
				_ = conn.Close(ctx)
			})
			proxyURL := dbURL
			if c.user != "" {
				proxyURL = withUser(t, dbURL, c.user)
			}
			if c.database != "" {
				proxyURL = strings.Replace(dbURL, rig.SlotName(dbURL)[len("w_"):]+"?", c.database+"?", 1)
			}
			slot := c.slot
			if slot == "" {
				slot = rig.SlotName(dbURL)
			}
			file := filepath.Join(t.TempDir(), "proxy.yaml")
			text := fmt.Sprintf("listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\norigin: http://127.0.0.1:1\n"+
				"postgres: { url: %q, slot: %s }\n# routes\n%s", proxyURL, slot, strings.ReplaceAll(c.config, "REDIS", testbed.SharedRedis(t)))
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			for _, cmd := range []string{"run", "check"} {
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				defer cancel()
				var out, logs bytes.Buffer
				err := sidecar.Run(ctx, []string{cmd, "-config", file}, &out, &logs)
				var message bytes.Buffer
				code := sidecar.Report(err, &message)
				if code != 2 || errors.Is(err, context.DeadlineExceeded) {
					t.Fatalf("%s: exit status %d, want 2: %s\n%s", cmd, code, &message, &logs)
				}
				for _, w := range c.want {
					if !strings.Contains(message.String(), w) {
						t.Errorf("%s: %q lacks %q", cmd, message.String(), w)
					}
				}
				// A sentence, its source line, and the caret.
				if n := strings.Count(message.String(), "\n"); n != 3*(1+c.also) {
					t.Errorf("%s: %d lines, want %d: %q", cmd, n, 3*(1+c.also), message.String())
				}
			}
			if n := leftovers(t, dbURL); n != c.left {
				t.Errorf("%d publications and slots in the database, want %d", n, c.left)
			}
		})
	}
}

package catalogue

import (
	"context"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"walpurge/dev/testbed"

	"github.com/jackc/pgx/v5"
)

// waitsFor bounds every wait of these tests.
const waitsFor = 30 * time.Second

// soon waits until done says so.
func soon(t testing.TB, what string, done func() bool) {
	t.Helper()
	within(t, waitsFor, what, done)
}

// within waits for as long as it is told.
func within(t testing.TB, waitsFor time.Duration, what string, done func() bool) {
	t.Helper()
	deadline := time.NewTimer(waitsFor)
	defer deadline.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("not within %v: %s", waitsFor, what)
		}
	}
}

// db is an ordinary session of a test.
type db struct {
	t    testing.TB
	conn *pgx.Conn
}

func newDB(t testing.TB, url string) *db {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return &db{t, conn}
}

// exec runs statements by the simple protocol.
func (c *db) exec(statements ...string) {
	c.t.Helper()
	for _, s := range statements {
		if _, err := c.conn.PgConn().Exec(context.Background(), s).ReadAll(); err != nil {
			c.t.Fatalf("%s: %v", s, err)
		}
	}
}

// text asks for one value as text.
func (c *db) text(query string) string {
	c.t.Helper()
	results, err := c.conn.PgConn().Exec(context.Background(), query).ReadAll()
	if err != nil {
		c.t.Fatalf("%s: %v", query, err)
	}
	if len(results) == 0 || len(results[0].Rows) == 0 {
		return ""
	}
	return string(results[0].Rows[0][0])
}

// major is the server's major version.
func (c *db) major() int {
	c.t.Helper()
	version, err := strconv.Atoi(c.text("SHOW server_version_num"))
	if err != nil {
		c.t.Fatal(err)
	}
	return version / 10000
}

// slotStatement is the statement by which setup makes a slot on this server.
func (c *db) slotStatement(name string) string {
	c.t.Helper()
	if c.major() >= 17 {
		return "SELECT pg_create_logical_replication_slot('" + name + "', 'pgoutput', failover => true)"
	}
	return "SELECT pg_create_logical_replication_slot('" + name + "', 'pgoutput')"
}

// moreOptions are those that our publications have on this server beside those
// that they have on all.
func (c *db) moreOptions() string {
	c.t.Helper()
	if c.major() >= 18 {
		return ", publish_generated_columns = stored"
	}
	return ""
}

// scope is that of a slot of its own.
func scope(t testing.TB, url string, watches ...Watch) Scope {
	name := regexp.MustCompile(`[^a-z0-9_]`).ReplaceAllString(strings.ToLower(t.Name()), "_")
	return Scope{URL: url, Slot: "s_" + name[max(0, len(name)-50):], Publication: "walpurge", Watches: watches}
}

func statements(s ...string) []string { return s }

// from tells whether the servers of these tests are of a major version or a later one.
func from(t *testing.T, major int) bool {
	t.Helper()
	return newDB(t, testbed.Server(t).URL("postgres")).major() >= major
}

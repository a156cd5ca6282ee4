package cdc

import (
	"context"
	"strings"
	"testing"
	"time"

	"walpurge/dev/testbed"
)

// TestInspectTakesNoLock: whoever has locked a published table for itself keeps
// nobody from starting.
func TestInspectTakesNoLock(t *testing.T) {
	url := testbed.Database(t)
	c := newClient(t, url)
	c.exec(`CREATE TABLE a (id int PRIMARY KEY, city text)`, `CREATE TABLE other (id int PRIMARY KEY)`,
		`CREATE PUBLICATION walpurge FOR TABLE a, other WITH (publish_via_partition_root = true)`)
	cfg := config(t, url, Watch{Table: "public.a", Columns: []string{"city"}})
	locker := newClient(t, url)
	locker.exec("BEGIN", "LOCK TABLE a, other IN ACCESS EXCLUSIVE MODE")
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if _, err := Inspect(ctx, cfg); err != nil {
		t.Error(err)
	}
}

// TestPublishedTables: what a publication names counts, and what it excepts or
// reaches under another name doesn't.
func TestPublishedTables(t *testing.T) {
	url := testbed.Database(t)
	c := newClient(t, url)
	c.exec(`CREATE SCHEMA app`, `CREATE TABLE a (id int PRIMARY KEY)`, `CREATE TABLE app.b (id int PRIMARY KEY)`,
		`CREATE TABLE p (id int PRIMARY KEY) PARTITION BY LIST (id)`, `CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1)`)
	for _, test := range []struct {
		since        int
		create, want string // want: which of the watched tables are there
	}{
		{14, "FOR TABLE a, p", "a p"},
		{14, "FOR TABLE p1", ""},
		{14, "FOR ALL TABLES", "a app.b p"},
		{15, "FOR TABLES IN SCHEMA app", "app.b"},
		{15, "FOR TABLE a, TABLES IN SCHEMA app", "a app.b"},
	} {
		if c.major() < test.since {
			continue
		}
		c.exec("CREATE PUBLICATION walpurge " + test.create + " WITH (publish_via_partition_root = true)")
		cfg := config(t, url, Watch{Table: "public.a"}, Watch{Table: "app.b"}, Watch{Table: "public.p"})
		ins, err := inspect(t.Context(), &cfg, c.conn)
		if err != nil {
			t.Fatal(err)
		}
		missing := make(map[int]bool)
		for _, m := range ins.catalogue.publication.missing {
			missing[m] = true
		}
		var has []string
		for i, name := range []string{"a", "app.b", "p"} {
			if !missing[i] {
				has = append(has, name)
			}
		}
		if got := strings.Join(has, " "); got != test.want {
			t.Errorf("%s: it has %q, want %q", test.create, got, test.want)
		}
		c.exec("DROP PUBLICATION walpurge")
	}
	// Publishing partitions by their own names is mended, and no table is added twice.
	c.exec("CREATE PUBLICATION walpurge FOR TABLE p")
	cfg := config(t, url, Watch{Table: "public.p"})
	if _, err := Setup(t.Context(), cfg, false); err != nil {
		t.Error(err)
	}
	if _, err := Inspect(t.Context(), cfg); err != nil {
		t.Error(err)
	}
}

// TestInspectSaysWhomItWaitsFor: where the catalogue itself is locked.
func TestInspectSaysWhomItWaitsFor(t *testing.T) {
	p := testbed.NewPostgres(t, nil) // nobody else's catalogue
	url := p.URL("postgres")
	newClient(t, url).exec(`CREATE TABLE a (id int PRIMARY KEY)`)
	locker := newClient(t, url)
	pid := locker.text("SELECT pg_backend_pid()")
	locker.exec("BEGIN", "LOCK TABLE pg_publication IN ACCESS EXCLUSIVE MODE")
	cfg := config(t, url, Watch{Table: "public.a"})
	said := &heard{}
	cfg.Waiting = said.say
	ended := make(chan error, 1)
	go func() {
		_, err := Inspect(context.Background(), cfg)
		ended <- err
	}()
	want := "reading the catalogue waits for session " + pid + " (user postgres, database postgres), idle in transaction"
	eventually(t, want, func() bool { return said.has(want) })
	locker.exec("COMMIT")
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

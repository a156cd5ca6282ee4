package cdc

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"walpurge/dev/testbed"
)

// heard collects what is said to whoever waits.
type heard struct {
	mu    sync.Mutex
	lines []string
}

func (h *heard) say(text string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lines = append(h.lines, text)
}

// has tells whether some line has all the words.
func (h *heard) has(words ...string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, line := range h.lines {
		all := true
		for _, w := range words {
			all = all && strings.Contains(line, w)
		}
		if all {
			return true
		}
	}
	return false
}

func (h *heard) text() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return strings.Join(h.lines, "\n")
}

// setup runs Setup beside the test.
func setup(t *testing.T, cfg Config) (said *heard, wait func() error) {
	t.Helper()
	said = &heard{}
	cfg.Waiting = said.say
	ended := make(chan error, 1)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	go func() {
		_, err := Setup(ctx, cfg, false)
		ended <- err
	}()
	wait = sync.OnceValue(func() error { return <-ended })
	t.Cleanup(func() {
		cancel()
		_ = wait()
	})
	return said, wait
}

// TestSetupSaysWhomItWaitsFor: a slot is made once every transaction that is
// open has ended, whoever's it is and whether it has a session or not.
func TestSetupSaysWhomItWaitsFor(t *testing.T) {
	url := testbed.Database(t)
	c := newClient(t, url)
	c.exec(`CREATE TABLE a (id int PRIMARY KEY)`, `CREATE TABLE other (id int)`, `CREATE ROLE watcher LOGIN REPLICATION`, `ALTER TABLE a OWNER TO watcher`)
	database := c.text("SELECT current_database()")
	c.exec("GRANT CREATE ON DATABASE " + database + " TO watcher")
	t.Cleanup(func() { c.exec("DROP OWNED BY watcher", "DROP ROLE watcher") })
	cfg := config(t, url, Watch{Table: "public.a"})
	limited := cfg
	limited.URL = strings.Replace(url, "postgres@", "watcher@", 1)

	for _, test := range []struct {
		name  string
		cfg   Config
		open  []string
		close []string
		want  func(pid string) []string
	}{
		{"a session", cfg, sql("SET application_name = 'batch'", "BEGIN", "INSERT INTO other VALUES (1)"), sql("ROLLBACK"), func(pid string) []string {
			return []string{"waits for session " + pid + " (user postgres, application batch, database " + database + "), idle in transaction since 2", " UTC, for "}
		}},
		{"what it does is hidden", limited, sql("SET application_name = 'batch'", "BEGIN", "INSERT INTO other VALUES (1)"), sql("ROLLBACK"), func(pid string) []string {
			return []string{"waits for session " + pid + " (user postgres, application batch, database " + database + "), of which this role sees no more without pg_read_all_stats"}
		}},
		{"a prepared transaction", cfg, sql("BEGIN", "INSERT INTO other VALUES (1)", "PREPARE TRANSACTION 'left behind'"), sql("ROLLBACK PREPARED 'left behind'"), func(string) []string {
			return []string{`waits for prepared transaction "left behind" (user postgres, database ` + database + "): COMMIT PREPARED or ROLLBACK PREPARED ends it, and it is open since 2"}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			writer := newClient(t, url)
			pid := writer.text("SELECT pg_backend_pid()")
			writer.exec(test.open...)
			said, wait := setup(t, test.cfg)
			want := test.want(pid)
			eventually(t, fmt.Sprintf("%q", want), func() bool { return said.has(want...) })
			writer.exec(test.close...)
			if err := wait(); err != nil {
				t.Errorf("%v\n%s", err, said.text())
			}
			c.exec("SELECT pg_drop_replication_slot('"+cfg.Slot+"')", "DROP PUBLICATION walpurge")
		})
	}
}

// TestListenerSaysWhomItWaitsFor: /status names the session while the slot is
// made, and while the horizon has not passed.
func TestListenerSaysWhomItWaitsFor(t *testing.T) {
	for _, slot := range []bool{false, true} {
		t.Run(fmt.Sprintf("slot %t", slot), func(t *testing.T) {
			url := testbed.Database(t)
			newClient(t, url).exec(rooms, `CREATE TABLE other (id int)`)
			cfg := config(t, url, watchRooms())
			if slot {
				if _, err := Setup(t.Context(), cfg, false); err != nil {
					t.Fatal(err)
				}
			}
			writer := newClient(t, url)
			writer.exec("SET application_name = 'batch'", "BEGIN", "INSERT INTO other VALUES (1)")
			r := start(t, cfg)
			want := "session " + writer.text("SELECT pg_backend_pid()") + " (user postgres, application batch"
			eventually(t, want, func() bool {
				s := r.listener.Status()
				return s.State == "waiting for open transactions" && strings.HasPrefix(s.WaitingFor, want)
			})
			writer.exec("COMMIT")
			r.proven()
			if got := r.listener.Status().WaitingFor; got != "" {
				t.Errorf("still waiting for %s", got)
			}
		})
	}
}

// TestLocksAreAskedForAgain: behind a reader nobody has to wait for setup.
func TestLocksAreAskedForAgain(t *testing.T) {
	url := testbed.Database(t)
	c := newClient(t, url)
	c.exec(`CREATE TABLE a (id int, city text)`, `INSERT INTO a VALUES (1)`)
	reader := newClient(t, url)
	reader.exec("SET application_name = 'report'", "BEGIN", "SELECT * FROM a")
	cfg := config(t, url, Watch{Table: "public.a"})
	cfg.locks = lockPatience{1000, 50 * time.Millisecond}
	said, wait := setup(t, cfg)
	want := []string{"ALTER TABLE public.a REPLICA IDENTITY FULL; the lock is held by session " + reader.text("SELECT pg_backend_pid()") + " (user postgres, application report", "try 3 of 1000"}
	eventually(t, fmt.Sprintf("%q", want), func() bool { return said.has(want...) })
	for range 20 { // the reader stays, and an update is through after a try of setup at most
		c.exec("BEGIN", "SET LOCAL lock_timeout = '1s'", "UPDATE a SET city = 'x'", "COMMIT")
	}
	reader.exec("COMMIT")
	if err := wait(); err != nil {
		t.Error(err)
	}
	if got := leavings(c); got != "1 publications, 1 slots" {
		t.Errorf("setup made %s", got)
	}
}

// TestLocksAreGivenUp: in the end it says who has it, and leaves nothing.
func TestLocksAreGivenUp(t *testing.T) {
	url := testbed.Database(t)
	c := newClient(t, url)
	c.exec(`CREATE TABLE a (id int)`, `CREATE TABLE b (id int)`)
	locker := newClient(t, url)
	locker.exec("BEGIN", "LOCK TABLE b")
	cfg := config(t, url, Watch{Table: "public.a"}, Watch{Table: "public.b"})
	cfg.locks = lockPatience{3, time.Millisecond}
	_, wait := setup(t, cfg)
	err := wait()
	want := "the lock was held by session " + locker.text("SELECT pg_backend_pid()")
	if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "at the last of 3 tries in") || !strings.Contains(err.Error(), "ALTER TABLE public.b REPLICA IDENTITY FULL") {
		t.Errorf("setup returns %v, want %q", err, want)
	}
	if got := leavings(c) + c.text("SELECT string_agg(relreplident::text, '') FROM pg_class WHERE relname IN ('a', 'b')"); got != "0 publications, 0 slots"+"dd" {
		t.Errorf("left behind: %s", got)
	}
	// Interrupted, it ends at once.
	cfg.locks = lockPatience{3, time.Hour}
	ctx, cancel := context.WithCancel(t.Context())
	cfg.Waiting = func(string) { cancel() }
	if _, err := Setup(ctx, cfg, false); err == nil || !strings.Contains(err.Error(), "nothing was changed") {
		t.Errorf("interrupted, setup returns %v", err)
	}
}

// TestAutovacuumGivesWay: one that would take hours keeps nobody from setting up.
func TestAutovacuumGivesWay(t *testing.T) {
	p := testbed.NewPostgres(t, map[string]string{"autovacuum": "on", "autovacuum_naptime": "1s"})
	url := p.URL("postgres")
	c := newClient(t, url)
	c.exec(`CREATE TABLE a (id int, city text) WITH (autovacuum_vacuum_threshold = 0, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1)`,
		`INSERT INTO a SELECT i, repeat('x', 1000) FROM generate_series(1, 20000) i`, `DELETE FROM a`)
	patient(t, 2*patience, "an autovacuum of the table", func() bool {
		return c.text("SELECT count(*) FROM pg_locks WHERE relation = 'a'::regclass AND mode = 'ShareUpdateExclusiveLock'") == "1"
	})
	cfg := config(t, url, Watch{Table: "public.a"})
	cfg.locks = lockPatience{3, time.Millisecond}
	said, wait := setup(t, cfg)
	if err := wait(); err != nil {
		t.Error(err)
	}
	if !said.has("autovacuum worker ") {
		t.Errorf("it said %q", said.text())
	}
}

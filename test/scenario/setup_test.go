package scenario

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"walpurge/dev/testbed"
	"walpurge/internal/sidecar"
	"walpurge/test/rig"
)

// waitingConfig is a configuration for a table t in the database at url.
func waitingConfig(t *testing.T, url, slot string) string {
	return writeConfig(t, fmt.Sprintf("listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\norigin: http://127.0.0.1:1\npostgres: { url: %q, slot: %s }\nredis: { url: %s, namespace: %s }\nroutes:\n  - { path: /t, depends_on: [t] }\n",
		url, slot, testbed.SharedRedis(t), slot))
}

// connect opens a session of the test with statements run.
func connect(t *testing.T, url string, statements ...string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	for _, s := range statements {
		if _, err := conn.Exec(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
	return conn
}

// written is what a command has written so far.
type written struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (w *written) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.Write(p)
}

func (w *written) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

// until waits for words in what is written.
func until(t *testing.T, w *written, words string) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(30 * time.Second)
	for !strings.Contains(w.String(), words) {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited 30 s for %q in %q", words, w.String())
		}
	}
}

// TestSetupNamesWhoHoldsItUp: at once, and on the standard error, since the SQL
// goes to the standard output.
func TestSetupNamesWhoHoldsItUp(t *testing.T) {
	url := testbed.Database(t)
	connect(t, url, "CREATE TABLE t (id int PRIMARY KEY)")
	writer := connect(t, url, "SET application_name = 'batch'", "BEGIN", "INSERT INTO t VALUES (1)")
	config := waitingConfig(t, url, rig.SlotName(url))
	said, ended := &written{}, make(chan error, 1)
	var out bytes.Buffer
	go func() { ended <- sidecar.Run(context.Background(), []string{"setup", "-config", config}, &out, said) }()
	until(t, said, fmt.Sprintf("waits for session %d (user postgres, application batch, database ", writer.PgConn().PID()))
	if _, err := writer.Exec(t.Context(), "COMMIT"); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil || !strings.HasSuffix(out.String(), "done\n") {
		t.Errorf("%v: %s", err, out.String())
	}
}

// TestSetupOfAReadOnlyDatabase is no mistake in the file.
func TestSetupOfAReadOnlyDatabase(t *testing.T) {
	url := testbed.Database(t)
	connect(t, url, "CREATE TABLE t (id int PRIMARY KEY)", "DO $$ BEGIN EXECUTE 'ALTER DATABASE ' || current_database() || ' SET default_transaction_read_only = on'; END $$")
	var out, message bytes.Buffer
	code := sidecar.Report(sidecar.Run(t.Context(), []string{"setup", "-config", waitingConfig(t, url, rig.SlotName(url))}, &out, &out), &message)
	if got := message.String(); code != 1 || !strings.Contains(got, "cannot execute CREATE PUBLICATION in a read-only transaction (SQLSTATE 25006); the database takes no changes: ") || strings.Count(got, "\n") != 1 {
		t.Errorf("exit status %d: %q", code, got)
	}
}

// TestRunStartsBesideALockedTable: the port opens, and the log says who is waited
// for before anything is cached.
func TestRunStartsBesideALockedTable(t *testing.T) {
	url := testbed.Database(t)
	connect(t, url, "CREATE TABLE t (id int PRIMARY KEY)", "CREATE PUBLICATION walpurge FOR TABLE t WITH (publish_via_partition_root = true)")
	locker := connect(t, url, "BEGIN", "LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
	config := waitingConfig(t, url, rig.SlotName(url))
	said, ended := &written{}, make(chan error, 1)
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	go func() { ended <- sidecar.Run(ctx, []string{"run", "-config", config}, said, said) }()
	until(t, said, "msg=listening")
	until(t, said, fmt.Sprintf("waiting_for=\"session %d (user postgres, database ", locker.PgConn().PID()))
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

package cdc

import (
	"bytes"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"walpurge/dev/testbed"
)

// pooler answers a replication connection as PgBouncer does, and passes
// everything else on to the server at address.
func pooler(t *testing.T, address string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go pool(conn, address)
		}
	}()
	return l.Addr().String()
}

func pool(conn net.Conn, address string) {
	defer func() { _ = conn.Close() }()
	var start bytes.Buffer
	backend := pgproto3.NewBackend(io.TeeReader(conn, &start), conn)
	msg, err := backend.ReceiveStartupMessage()
	if err != nil {
		return
	}
	if m, ok := msg.(*pgproto3.StartupMessage); ok && m.Parameters["replication"] != "" {
		backend.Send(&pgproto3.ErrorResponse{Severity: "FATAL", Code: "08P01", Message: "unsupported startup parameter: replication"})
		_ = backend.Flush()
		return
	}
	server, err := net.Dial("tcp", address)
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	if _, err := server.Write(start.Bytes()); err != nil {
		return
	}
	go func() { _, _ = io.Copy(server, conn) }()
	_, _ = io.Copy(conn, server)
}

func TestPoolerIsRecognised(t *testing.T) {
	url := testbed.Database(t)
	newClient(t, url).exec(rooms)
	address := addressOf(url)
	pooled := strings.Replace(url, address, pooler(t, address), 1)
	_, err := Inspect(t.Context(), config(t, pooled, watchRooms()))
	if err == nil || !strings.Contains(err.Error(), "use a direct URL of the primary") {
		t.Errorf("Inspect returns %v", err)
	}
}

// copyFiles puts a copy of a directory in the place of another.
func copyFiles(t *testing.T, from, to string) {
	t.Helper()
	if err := os.RemoveAll(to); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("cp", "-a", from, to).CombinedOutput(); err != nil {
		t.Fatalf("copy %s: %v: %s", from, err, out)
	}
}

// A restore from a snapshot of the storage keeps system and timeline and goes
// back in the log.
func TestServerThatWentBackIsANewEpoch(t *testing.T) {
	p := testbed.NewPostgres(t, nil)
	url := p.URL("postgres")
	newClient(t, url).exec(rooms)
	cfg := config(t, url, watchRooms())
	if _, err := Setup(t.Context(), cfg, false); err != nil {
		t.Fatal(err)
	}
	snapshot := filepath.Join(filepath.Dir(p.Dir()), "snapshot")
	restart := func(between func()) {
		t.Helper()
		if err := p.Stop("fast"); err != nil {
			t.Fatal(err)
		}
		between()
		if err := p.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	restart(func() { copyFiles(t, p.Dir(), snapshot) })
	r := listen(t, cfg)
	for range 20 { // more than the server writes by itself at its start
		r.exec("INSERT INTO rooms SELECT g, repeat('x', 200) FROM generate_series(1, 1000) g", "DELETE FROM rooms")
	}
	r.caughtUp()
	restart(func() { copyFiles(t, snapshot, p.Dir()) })
	r.client = newClient(t, url)
	eventually(t, "a new epoch", func() bool { return len(r.epochs()) >= 2 })
	r.expectEpochs("start", "behind")
	r.proven()
	if applied, at := r.guard.Applied(), r.flushed(); applied > at { // in this order: the server writes by itself
		t.Errorf("applied %s on a server at %s", applied, at)
	}
}

func TestAnotherClusterIsANewEpoch(t *testing.T) {
	a, b := testbed.NewPostgres(t, nil), testbed.NewPostgres(t, nil)
	relay := &switchboard{t: t, target: a.URL("postgres")}
	for _, p := range []*testbed.Postgres{a, b} {
		newClient(t, p.URL("postgres")).exec(rooms)
	}
	r := listen(t, config(t, relay.url(), watchRooms()))
	relay.lead(b.URL("postgres"))
	eventually(t, "a new epoch", func() bool { return len(r.epochs()) >= 2 })
	r.expectEpochs("start", "system")
	r.proven()
	newClient(t, b.URL("postgres")).exec("INSERT INTO rooms VALUES (7)")
	eventually(t, "a change of the other cluster", func() bool { return len(r.lines()) == 1 })
}

func TestHungServerLosesItsProof(t *testing.T) {
	url := testbed.Database(t)
	newClient(t, url).exec(rooms)
	relay := &switchboard{t: t, target: url}
	r := listen(t, config(t, relay.url(), watchRooms()))
	relay.freeze(true)
	proven := r.guard.Proven()
	eventually(t, "the proof is old", func() bool { return r.cfg.Now()-r.guard.Proven() > 500e6 })
	if now := r.guard.Proven(); now-proven > 100e6 {
		t.Errorf("proven %v later although nothing gets through", time.Duration(now-proven))
	}
	relay.freeze(false)
	r.client = newClient(t, url)
	r.proven()
	r.expect(sql("INSERT INTO rooms VALUES (1)"), "insert rooms: id=1 city=null price=null")
	r.expectEpochs("start")
}

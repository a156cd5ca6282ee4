package testbed

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

func TestPostgresServesLogicalReplication(t *testing.T) {
	p := NewPostgres(t, nil)
	for name, want := range map[string]string{
		"wal_level": "logical", "fsync": "on", "synchronous_commit": "on", "max_connections": "300",
		"max_wal_senders": "20", "max_replication_slots": "50", "TimeZone": "UTC", "listen_addresses": "127.0.0.1",
		"unix_socket_directories": "", "server_encoding": "UTF8",
	} {
		if got := query(t, p.URL("postgres"), "SHOW "+name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if got := query(t, p.URL("postgres"), "SELECT lower('ÀÉ')"); got != "àé" {
		t.Errorf("lower folds ASCII only: %q", got)
	}
}

func TestSettingsGoOverTheDefaults(t *testing.T) {
	p := NewPostgres(t, map[string]string{"wal_level": "replica", "max_slot_wal_keep_size": "16MB", "port": "1"})
	if got := query(t, p.URL("postgres"), "SHOW wal_level"); got != "replica" {
		t.Errorf("wal_level is %q, want replica", got)
	}
	if got := query(t, p.URL("postgres"), "SHOW max_slot_wal_keep_size"); got != "16MB" {
		t.Errorf("max_slot_wal_keep_size is %q, want 16MB", got)
	}
}

func TestCommittedRowsOutliveEveryStop(t *testing.T) {
	p := NewPostgres(t, nil)
	url, port := p.URL("postgres"), p.Port()
	must(t, execute(t.Context(), url, "CREATE TABLE kept (mode text)"))
	for i, mode := range []string{"smart", "fast", "immediate"} {
		must(t, execute(t.Context(), url, "INSERT INTO kept VALUES ('"+mode+"')"))
		pid := p.Pid()
		must(t, p.Stop(mode))
		if p.Pid() != 0 || alive(pid) {
			t.Fatalf("%s: process %d still runs", mode, pid)
		}
		must(t, p.Stop(mode))
		must(t, p.Start(t.Context()))
		if p.Port() != port || p.Pid() == pid || p.Pid() == 0 {
			t.Fatalf("%s: port %d, pid %d; before port %d, pid %d", mode, p.Port(), p.Pid(), port, pid)
		}
		if got := query(t, url, "SELECT count(*)::text FROM kept"); got != strconv.Itoa(i+1) {
			t.Fatalf("%s: %s rows, want %d", mode, got, i+1)
		}
	}
	log, err := os.ReadFile(p.Log())
	must(t, err)
	if !strings.Contains(string(log), "was not properly shut down") {
		t.Error("the immediate stop was an orderly one")
	}
	if err := p.Stop("slow"); err == nil {
		t.Error("an unknown mode is accepted")
	}
}

func TestPausedServerCanBeClosed(t *testing.T) {
	p := NewPostgres(t, nil)
	pid := p.Pid()
	must(t, p.Signal(syscall.SIGSTOP))
	must(t, p.Close())
	if alive(pid) {
		t.Errorf("process %d still runs", pid)
	}
}

func TestSetReachesTheNextSession(t *testing.T) {
	p := NewPostgres(t, nil)
	for _, value := range []string{"3s", "4s", "5s"} {
		must(t, p.Set(t.Context(), "wal_sender_timeout", value))
		if got := query(t, p.URL("postgres"), "SHOW wal_sender_timeout"); got != value {
			t.Fatalf("wal_sender_timeout is %q, want %q", got, value)
		}
	}
	must(t, p.Set(t.Context(), "application_name", `it's`))
	if got := query(t, p.URL("postgres"), "SHOW application_name"); got != "it's" {
		t.Errorf("application_name is %q, want it's", got)
	}

	must(t, p.Set(t.Context(), "max_wal_senders", "7"))
	if got := query(t, p.URL("postgres"), "SHOW max_wal_senders"); got != "20" {
		t.Errorf("max_wal_senders is %q before the restart", got)
	}
	must(t, p.Stop("fast"))
	must(t, p.Start(t.Context()))
	if got := query(t, p.URL("postgres"), "SHOW max_wal_senders"); got != "7" {
		t.Errorf("max_wal_senders is %q after the restart, want 7", got)
	}

	if err := p.Set(t.Context(), "no_such_setting", "1"); err == nil {
		t.Error("an unknown setting is accepted")
	}
}

// A commit that waits for a standby that does not exist is how other tests hold a transaction decoded and invisible.
func TestSetHoldsTheVeryNextCommit(t *testing.T) {
	p := NewPostgres(t, nil)
	url := p.URL("postgres")
	must(t, execute(t.Context(), url, "CREATE TABLE held (n int)"))
	observer := connect(t, url)
	for range 10 {
		must(t, p.Set(t.Context(), "synchronous_standby_names", "nobody"))
		returned := make(chan error, 1)
		go func() { returned <- execute(t.Context(), url, "INSERT INTO held VALUES (1)") }()
		eventually(t, "the commit waits for a standby", func() bool {
			select {
			case err := <-returned:
				t.Fatalf("the commit was not held: %v", err)
			default:
			}
			var waiting int
			must(t, observer.QueryRow(t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'").Scan(&waiting))
			return waiting == 1
		})
		must(t, p.Set(t.Context(), "synchronous_standby_names", ""))
		must(t, <-returned)
	}
}

// While the checkpointer has not read the new value, commits don't wait yet.
func TestSetOfStandbysWaitsForTheCheckpointer(t *testing.T) {
	p := NewPostgres(t, nil)
	observer := connect(t, p.URL("postgres"))
	var checkpointer int
	must(t, observer.QueryRow(t.Context(), "SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'").Scan(&checkpointer))
	must(t, syscall.Kill(checkpointer, syscall.SIGSTOP))
	returned := make(chan error, 1)
	go func() { returned <- p.Set(context.Background(), "synchronous_standby_names", "nobody") }()
	eventually(t, "Set waits for a checkpoint to start", func() bool {
		var waiting int
		must(t, observer.QueryRow(t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'CheckpointStart'").Scan(&waiting))
		return waiting == 1
	})
	must(t, syscall.Kill(checkpointer, syscall.SIGCONT))
	must(t, <-returned)
}

func TestCloseLeavesNothing(t *testing.T) {
	p := NewPostgres(t, nil)
	pid, dir, port := p.Pid(), filepath.Dir(p.Dir()), p.Port()
	must(t, p.Close())
	must(t, p.Close())
	if alive(pid) {
		t.Errorf("process %d still runs", pid)
	}
	if _, err := os.Lstat(dir); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", dir, err)
	}
	if _, err := listenOnce(port); err != nil {
		t.Errorf("port %d is still in use: %v", port, err)
	}
	if err := p.Start(t.Context()); err == nil {
		t.Error("a closed server starts")
	}
}

func TestStartErrorShowsTheLog(t *testing.T) {
	dir, err := reserveDir("postgres")
	must(t, err)
	_, err = StartPostgres(t.Context(), dir, map[string]string{"wal_level": "loud"})
	if err == nil || !strings.Contains(err.Error(), `invalid value for parameter "wal_level": "loud"`) {
		t.Errorf("the error does not say what the server said: %v", err)
	}
	if _, err := os.Lstat(dir); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", dir, err)
	}
}

func TestTakenPortIsNoticed(t *testing.T) {
	p := NewPostgres(t, nil)
	must(t, p.Stop("fast"))
	thief, err := net.Listen("tcp4", "127.0.0.1:"+strconv.Itoa(p.Port()))
	must(t, err)
	err = p.Start(t.Context())
	if err == nil || !strings.Contains(err.Error(), errPortTaken.Error()) {
		t.Errorf("start on a taken port: %v", err)
	}
	must(t, thief.Close())
	must(t, p.Start(t.Context()))
}

// On a port that two servers could be asked on, the answer of the other must not pass for our server's.
func TestAnotherClustersAnswerIsNoticed(t *testing.T) {
	one, two := NewPostgres(t, nil), NewPostgres(t, nil)
	one.port = two.port
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if err := one.awaitReady(ctx, 0); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the other server's answer: %v", err)
	}
}

func TestClustersDifferInIdentity(t *testing.T) {
	seen := map[string]bool{}
	for range 2 {
		seen[query(t, NewPostgres(t, nil).URL("postgres"), "SELECT system_identifier::text FROM pg_control_system()")] = true
	}
	if len(seen) != 2 {
		t.Errorf("two clusters, system identifiers %v", seen)
	}
}

func TestInitdbServesWithoutTemplate(t *testing.T) {
	in, err := findInstallation()
	must(t, err)
	dir, lock, err := scratch(in.account)
	must(t, err)
	p := &Postgres{installation: in, dir: dir, lock: lock}
	t.Cleanup(func() { must(t, p.Close()) })
	must(t, in.initdb(t.Context(), p.data()))
	p.port, err = freePort()
	must(t, err)
	must(t, p.configure(nil))
	must(t, p.Start(t.Context()))
}

func TestDatabasesAreApartAndDropped(t *testing.T) {
	var name string
	var held []interface{ Close(context.Context) error } // open until the database is gone
	t.Run("use", func(t *testing.T) {
		one, two := Database(t), Database(t)
		must(t, execute(t.Context(), one, "CREATE TABLE here (n int)"))
		if got := query(t, two, "SELECT count(*)::text FROM pg_tables WHERE schemaname = 'public'"); got != "0" {
			t.Errorf("a new database has %s tables", got)
		}
		name = query(t, one, "SELECT current_database()")
		// All that keeps a database from being dropped.
		must(t, execute(t.Context(), one, "SELECT pg_create_logical_replication_slot('kept_"+name+"', 'pgoutput')"))
		walsender, err := pgconn.Connect(t.Context(), one+"&replication=database")
		must(t, err)
		held = append(held, walsender)
		must(t, pglogrepl.StartReplication(t.Context(), walsender, "kept_"+name, 0, pglogrepl.StartReplicationOptions{
			PluginArgs: []string{"proto_version '1'", "publication_names 'none'"},
		}))
		conn, err := pgx.Connect(t.Context(), one)
		must(t, err)
		held = append(held, conn)
		_, err = conn.Exec(t.Context(), "BEGIN; INSERT INTO here VALUES (1); PREPARE TRANSACTION 'it''s'")
		must(t, err)
		_, err = conn.Exec(t.Context(), "BEGIN; SELECT * FROM here")
		must(t, err)
	})
	for _, conn := range held {
		_ = conn.Close(t.Context())
	}
	url := Server(t).URL("postgres")
	if got := query(t, url, "SELECT count(*)::text FROM pg_database WHERE datname = '"+name+"'"); got != "0" {
		t.Errorf("the database %s is still there", name)
	}
	if got := query(t, url, "SELECT count(*)::text FROM pg_replication_slots"); got != "0" {
		t.Errorf("%s replication slots are still there", got)
	}
}

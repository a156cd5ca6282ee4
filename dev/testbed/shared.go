package testbed

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"walpurge/dev/subprocess"
)

// shared is what the tests of one binary have in common. It is the package's only state: a test has no other way to
// find what another test of its binary has started.
var shared struct {
	sync.Mutex
	main     bool // Main runs, so that somebody cleans up
	dir      string
	lock     *os.File
	started  int // directories given out
	made     int // databases given out
	postgres *Postgres
	redis    *Redis
	own      []func() error // closes the servers of single tests
}

// Main is a test binary's TestMain: it runs the tests, closes what they share and exits. It does so too when it is
// interrupted or terminated.
func Main(m *testing.M) {
	shared.Lock()
	shared.main = true
	shared.Unlock()

	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt, syscall.SIGTERM)
	ended := make(chan int, 1)
	go func() { ended <- m.Run() }()
	code := 0
	select {
	case code = <-ended:
	case <-interrupted:
		code = 130
	}
	if err := closeShared(); err != nil {
		fmt.Fprintln(os.Stderr, "testbed:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// closeShared closes all servers and keeps the lock, so that a test that still runs starts none.
func closeShared() error {
	shared.Lock()
	var errs []error
	for _, closeOwn := range shared.own {
		errs = append(errs, closeOwn())
	}
	if shared.postgres != nil {
		errs = append(errs, shared.postgres.Close())
	}
	if shared.redis != nil {
		errs = append(errs, shared.redis.Close())
	}
	if shared.lock != nil {
		errs = append(errs, os.RemoveAll(shared.dir), shared.lock.Close())
	}
	return errors.Join(errs...)
}

// newDir names a directory for a server inside the binary's own. REQUIRES: shared is locked.
func newDir(name string) (string, error) {
	if !shared.main {
		return "", errors.New("add `func TestMain(m *testing.M) { testbed.Main(m) }` to the package's tests")
	}
	if shared.lock == nil {
		a, err := serverAccount()
		if err != nil {
			return "", err
		}
		if shared.dir, shared.lock, err = scratch(a); err != nil {
			return "", err
		}
	}
	shared.started++
	return filepath.Join(shared.dir, fmt.Sprintf("%s%d", name, shared.started)), nil
}

// Server is the test binary's shared PostgreSQL. Don't stop it and don't change settings that other tests notice:
// that is what NewPostgres is for.
func Server(t testing.TB) *Postgres {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.postgres != nil {
		return shared.postgres
	}
	dir, err := newDir("postgres")
	if err == nil {
		shared.postgres, err = StartPostgres(context.Background(), dir, nil)
	}
	if err != nil {
		t.Fatalf("start the shared PostgreSQL: %v", err)
	}
	return shared.postgres
}

// NewPostgres starts a PostgreSQL for this test alone, closed at its end. settings are as in StartPostgres.
func NewPostgres(t testing.TB, settings map[string]string) *Postgres {
	t.Helper()
	dir, err := reserveDir("postgres")
	if err != nil {
		t.Fatalf("start a PostgreSQL: %v", err)
	}
	p, err := StartPostgres(context.Background(), dir, settings)
	if err != nil {
		t.Fatalf("start a PostgreSQL: %v", err)
	}
	adopt(t, p.Close, p.Log())
	return p
}

// SharedRedis is the URL of the test binary's shared Redis, logical database 0. Tests keep apart by key prefix or by
// logical database, and never flush.
func SharedRedis(t testing.TB) (url string) {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.redis != nil {
		return shared.redis.URL()
	}
	dir, err := newDir("redis")
	if err == nil {
		shared.redis, err = StartRedis(context.Background(), dir)
	}
	if err != nil {
		t.Fatalf("start the shared Redis: %v", err)
	}
	return shared.redis.URL()
}

// NewRedis starts a Redis for this test alone, closed at its end. args are redis-server's.
func NewRedis(t testing.TB, args ...string) *Redis {
	t.Helper()
	dir, err := reserveDir("redis")
	if err != nil {
		t.Fatalf("start a Redis: %v", err)
	}
	r, err := StartRedis(context.Background(), dir, args...)
	if err != nil {
		t.Fatalf("start a Redis: %v", err)
	}
	adopt(t, r.Close, r.Log())
	return r
}

func reserveDir(name string) (string, error) {
	shared.Lock()
	defer shared.Unlock()
	return newDir(name)
}

// adopt closes a server at the end of its test, or in Main if that comes first. The end of a failed test's
// server log goes into the test's.
func adopt(t testing.TB, closeServer func() error, log string) {
	t.Helper()
	shared.Lock()
	shared.own = append(shared.own, closeServer)
	shared.Unlock()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the end of %s:\n%s", filepath.Base(filepath.Dir(log)), strings.TrimSpace(subprocess.Tail(log, 0)))
		}
		if err := closeServer(); err != nil {
			t.Errorf("close a server: %v", err)
		}
	})
}

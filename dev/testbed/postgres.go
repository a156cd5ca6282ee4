package testbed

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"walpurge/dev/subprocess"
)

const (
	// startPatience bounds a start whose context has no deadline.
	startPatience = time.Minute
	// stopPatience bounds a stop; a smart one waits that long for the clients to leave.
	stopPatience = time.Minute
	// pollInterval is how often a server is asked again while something is waited for.
	pollInterval = 10 * time.Millisecond
)

// errPortTaken says that another program listens on the server's port.
var errPortTaken = errors.New("port is in use")

// Postgres is a private PostgreSQL cluster and its server. Its methods may be called from any goroutine.
type Postgres struct {
	installation installation
	link         string // what the caller asked for, if that is a symbolic link to dir now
	dir          string // lock, log, data/
	lock         *os.File
	settings     map[string]string
	port         int

	mu      sync.Mutex
	process *subprocess.Process
	closed  bool
}

// StartPostgres makes a cluster in dir, which it creates, and starts it on a free port of 127.0.0.1. settings are
// lines of postgresql.conf that go over the defaults of this package: logical WAL, replication slots, 300 connections,
// UTC; fsync and synchronous_commit stay on. The only role is the superuser postgres, without a password.
//
// A dir that an earlier run left behind is emptied first; one in use is an error. Where the user that PostgreSQL runs
// as can't reach dir, the cluster is in a temporary directory and dir is a symbolic link to it.
//
// Without a deadline in ctx the start may take a minute. ctx does not end a server that has started: Close does.
func StartPostgres(ctx context.Context, dir string, settings map[string]string) (*Postgres, error) {
	ctx, cancel := withPatience(ctx)
	defer cancel()
	in, err := findInstallation()
	if err != nil {
		return nil, err
	}
	p := &Postgres{installation: in, settings: settings}
	if err := p.place(dir); err != nil {
		return nil, fmt.Errorf("prepare %s: %w", dir, err)
	}
	if err := in.createCluster(ctx, p.data()); err != nil {
		return nil, errors.Join(fmt.Errorf("create a cluster: %w", err), p.Close())
	}
	if err := p.startSomewhere(ctx); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

// startSomewhere configures the cluster for a free port and starts its server there.
func (p *Postgres) startSomewhere(ctx context.Context) (err error) {
	for range portTries {
		if p.port, err = freePort(); err != nil {
			return err
		}
		if err = p.configure(p.settings); err != nil {
			return err
		}
		if err = p.Start(ctx); !errors.Is(err, errPortTaken) {
			return err
		}
	}
	return err
}

// place claims dir, or a temporary directory and makes dir a link to it.
func (p *Postgres) place(dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	// A link to a directory that sweep may have removed meanwhile is an earlier run's.
	if target, err := os.Readlink(dir); err == nil && strings.HasPrefix(filepath.Base(target), scratchPrefix) {
		if err := os.Remove(dir); err != nil {
			return err
		}
	}
	parent := filepath.Dir(dir)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return err
	}
	if p.installation.account.reaches(parent) {
		p.dir = dir
		p.lock, err = claim(dir)
		return err
	}
	if p.dir, p.lock, err = scratch(p.installation.account); err != nil {
		return err
	}
	if err := os.Symlink(p.dir, dir); err != nil {
		return errors.Join(err, os.RemoveAll(p.dir), p.lock.Close())
	}
	p.link = dir
	return nil
}

func (p *Postgres) data() string { return filepath.Join(p.dir, "data") }

// Log is the path of the server's log.
func (p *Postgres) Log() string { return filepath.Join(p.dir, "log") }

// Dir is the cluster's data directory, for tests that copy or damage it while the server is stopped.
func (p *Postgres) Dir() string { return p.data() }

// Port is the server's TCP port on 127.0.0.1, the same for the life of p.
func (p *Postgres) Port() int { return p.port }

// URL is the superuser's connection URL for database, without TLS.
func (p *Postgres) URL(database string) string {
	return fmt.Sprintf("postgres://postgres@127.0.0.1:%d/%s?sslmode=disable", p.port, database)
}

// Start starts a stopped server again on its port and returns when it accepts connections, crash recovery included.
// Without a deadline in ctx it waits a minute. Starting a running server does nothing.
func (p *Postgres) Start(ctx context.Context) error {
	ctx, cancel := withPatience(ctx)
	defer cancel()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return errors.New("start PostgreSQL: closed")
	}
	if p.process.Running() {
		return nil
	}
	log, offset, err := openLog(p.Log())
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	cmd := p.installation.command(p.data(), "postgres", "-D", p.data())
	cmd.Stdout, cmd.Stderr = log, log
	// SIGQUIT is PostgreSQL's immediate shutdown. After SIGKILL its children would go on for a while.
	if p.process, err = subprocess.Start(cmd, syscall.SIGQUIT); err != nil {
		return fmt.Errorf("start PostgreSQL: %w", err)
	}
	if err := p.awaitReady(ctx, offset); err != nil {
		return errors.Join(startError(fmt.Errorf("start PostgreSQL on port %d: %w", p.port, err), p.Log(), offset), p.process.Stop(syscall.SIGQUIT, stopPatience))
	}
	return nil
}

// awaitReady waits until this server, and no other on the same port (B3), answers a query.
func (p *Postgres) awaitReady(ctx context.Context, offset int64) error {
	// Another program on the port may accept connections and say nothing: stop asking when the server ends.
	asking, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := p.process.Done
	go func() {
		select {
		case <-ended:
			cancel()
		case <-asking.Done():
		}
	}()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	last := errors.New("not asked yet")
	for {
		select {
		case <-ended:
			if strings.Contains(subprocess.Tail(p.Log(), offset), "could not bind") {
				return errPortTaken
			}
			return fmt.Errorf("the server ended: %w", p.process.Err())
		case <-ctx.Done():
			return fmt.Errorf("the server accepts no connection: %w: %w", ctx.Err(), last)
		case <-tick.C:
		}
		var data string
		if data, last = p.show(asking, "data_directory"); last == nil && data == p.data() {
			return nil
		}
	}
}

// show asks a new session for the value of a setting.
func (p *Postgres) show(ctx context.Context, name string) (value string, err error) {
	conn, err := pgx.Connect(ctx, p.URL("postgres"))
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	err = conn.QueryRow(ctx, "SELECT current_setting($1)", name).Scan(&value)
	return value, err
}

// Stop stops the server and waits until it is gone. The modes are pg_ctl's: "smart" waits for the clients to leave,
// "fast" disconnects them, "immediate" crashes, so that the next start recovers. A server that is still there after
// a minute is an error and stays. Stopping a stopped server does nothing.
func (p *Postgres) Stop(mode string) error {
	signals := map[string]syscall.Signal{"smart": syscall.SIGTERM, "fast": syscall.SIGINT, "immediate": syscall.SIGQUIT}
	sig, ok := signals[mode]
	if !ok {
		return fmt.Errorf("stop PostgreSQL: mode %q is none of smart, fast, immediate", mode)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.process.Stop(sig, stopPatience); err != nil {
		return fmt.Errorf("stop PostgreSQL (%s): %w", mode, err)
	}
	return nil
}

// Signal sends sig to the postmaster. SIGSTOP there keeps new sessions from starting; the running ones go on.
func (p *Postgres) Signal(sig os.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.process.Signal(sig)
}

// Pid is the postmaster's process id, 0 while the server is stopped.
func (p *Postgres) Pid() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.process.Running() {
		return 0
	}
	return p.process.Handle.Pid
}

// Close stops the server at once and removes its directory. It may be called again.
func (p *Postgres) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil
	}
	p.closed = true
	err := p.process.Stop(syscall.SIGQUIT, stopPatience)
	if err != nil {
		err = errors.Join(err, p.process.Stop(syscall.SIGKILL, stopPatience))
	}
	err = errors.Join(err, os.RemoveAll(p.dir), p.lock.Close())
	if p.link != "" {
		err = errors.Join(err, os.Remove(p.link))
	}
	if err != nil {
		return fmt.Errorf("close PostgreSQL: %w", err)
	}
	return nil
}

// withPatience gives ctx a deadline if it has none.
func withPatience(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, startPatience)
}

package testbed

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"walpurge/dev/subprocess"
)

// Redis is a private Redis or Valkey server. Its methods may be called from any goroutine.
type Redis struct {
	program string
	watches string // the configuration of a sentinel; empty: it is a server
	args    []string
	dir     string // lock, log and what Redis saves
	lock    *os.File
	port    int

	mu      sync.Mutex
	process *subprocess.Process
	closed  bool
}

// StartRedis starts a server on a free port of 127.0.0.1 with dir, which it creates, as its working directory. Nothing
// is saved to disk unless args, which are redis-server's, say so. dir is treated as by StartPostgres.
func StartRedis(ctx context.Context, dir string, args ...string) (*Redis, error) {
	return startRedis(ctx, dir, "", args)
}

func startRedis(ctx context.Context, dir, watches string, args []string) (*Redis, error) {
	ctx, cancel := withPatience(ctx)
	defer cancel()
	program, err := redisProgram()
	if err != nil {
		return nil, err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, err
	}
	r := &Redis{program: program, watches: watches, args: args, dir: dir}
	if r.lock, err = claim(dir); err != nil {
		return nil, fmt.Errorf("prepare %s: %w", dir, err)
	}
	for range portTries {
		if r.port, err = freePort(); err != nil {
			break
		}
		if err = r.Start(ctx); !errors.Is(err, errPortTaken) {
			break
		}
	}
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// Port is the server's TCP port on 127.0.0.1, the same for the life of r.
func (r *Redis) Port() int { return r.port }

// URL is the connection URL of logical database 0.
func (r *Redis) URL() string { return fmt.Sprintf("redis://%s/0", r.address()) }

// Log is the path of the server's log.
func (r *Redis) Log() string { return filepath.Join(r.dir, "log") }

// Dir is the server's working directory, for tests that change what it has saved while it is stopped.
func (r *Redis) Dir() string { return r.dir }

func (r *Redis) address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(r.port)) }

// Start starts a stopped server again on its port and returns when it answers. It is empty then, unless its
// arguments made it save. Starting a running server does nothing.
func (r *Redis) Start(ctx context.Context) error {
	ctx, cancel := withPatience(ctx)
	defer cancel()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return errors.New("start Redis: closed")
	}
	if r.process.Running() {
		return nil
	}
	log, offset, err := openLog(r.Log())
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	cmd, err := r.command()
	if err != nil {
		return fmt.Errorf("start Redis: %w", err)
	}
	cmd.Dir = r.dir
	cmd.Stdout, cmd.Stderr = log, log
	if r.process, err = subprocess.Start(cmd, syscall.SIGKILL); err != nil {
		return fmt.Errorf("start Redis: %w", err)
	}
	if err := r.awaitReady(ctx, offset); err != nil {
		return errors.Join(startError(fmt.Errorf("start Redis on port %d: %w", r.port, err), r.Log(), offset), r.process.Stop(syscall.SIGKILL, stopPatience))
	}
	return nil
}

// command is how the server is started.
func (r *Redis) command() (*exec.Cmd, error) {
	args := []string{"--port", strconv.Itoa(r.port), "--bind", "127.0.0.1", "--dir", r.dir, "--daemonize", "no"}
	if r.watches == "" {
		args = append(args, "--save", "", "--appendonly", "no")
		return exec.Command(r.program, append(args, r.args...)...), nil
	}
	// A sentinel keeps what it learns in its configuration.
	file := filepath.Join(r.dir, "sentinel.conf")
	if _, err := os.Stat(file); err != nil {
		if err := os.WriteFile(file, []byte(r.watches), 0o600); err != nil {
			return nil, err
		}
	}
	return exec.Command(r.program, append(append([]string{file, "--sentinel"}, args...), r.args...)...), nil
}

// awaitReady waits until this server, and no other on the same port (B3), answers and has loaded its data.
func (r *Redis) awaitReady(ctx context.Context, offset int64) error {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	last := errors.New("not asked yet")
	for {
		select {
		case <-r.process.Done:
			if strings.Contains(subprocess.Tail(r.Log(), offset), "Address already in use") {
				return errPortTaken
			}
			return fmt.Errorf("the server ended: %w", r.process.Err())
		case <-ctx.Done():
			return fmt.Errorf("the server does not answer: %w: %w", ctx.Err(), last)
		case <-tick.C:
		}
		if last = r.ask(ctx); last == nil {
			return nil
		}
	}
}

// ask returns nil if the server on the port is r's process and serves commands.
func (r *Redis) ask(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", r.address())
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return err
	}
	if _, err := io.WriteString(conn, "INFO\r\nPING\r\n"); err != nil {
		return err
	}
	scanner := bufio.NewScanner(conn)
	for scanner.Scan() {
		switch line := scanner.Text(); {
		case strings.HasPrefix(line, "-NOAUTH"):
			return nil // args set a password; whose server it is can't be asked
		case strings.HasPrefix(line, "-"):
			return errors.New(line)
		case strings.HasPrefix(line, "process_id:") && line != fmt.Sprintf("process_id:%d", r.process.Handle.Pid):
			return fmt.Errorf("another server answers: %s", line)
		case line == "loading:1":
			return errors.New("loading")
		case line == "+PONG":
			return nil
		}
	}
	return errors.Join(scanner.Err(), io.ErrUnexpectedEOF)
}

// Stop shuts the server down in order (SIGTERM) and waits until it is gone.
func (r *Redis) Stop() error { return r.end(syscall.SIGTERM) }

// Kill ends the server as a crash would (SIGKILL) and waits until it is gone.
func (r *Redis) Kill() error { return r.end(syscall.SIGKILL) }

func (r *Redis) end(sig syscall.Signal) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.process.Stop(sig, stopPatience); err != nil {
		return fmt.Errorf("stop Redis: %w", err)
	}
	return nil
}

// Pause stops the server's execution (SIGSTOP): connections stay open and are accepted by the kernel, nothing answers.
func (r *Redis) Pause() error { return r.send(syscall.SIGSTOP) }

// Resume ends Pause.
func (r *Redis) Resume() error { return r.send(syscall.SIGCONT) }

func (r *Redis) send(sig syscall.Signal) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.process.Signal(sig)
}

// Pid is the server's process id, 0 while it is stopped.
func (r *Redis) Pid() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.process.Running() {
		return 0
	}
	return r.process.Handle.Pid
}

// Close kills the server and removes its directory. It may be called again.
func (r *Redis) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil
	}
	r.closed = true
	if err := errors.Join(r.process.Stop(syscall.SIGKILL, stopPatience), os.RemoveAll(r.dir), r.lock.Close()); err != nil {
		return fmt.Errorf("close Redis: %w", err)
	}
	return nil
}

package testbed

import (
	"bufio"
	"errors"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// command sends one inline command to the server on port and returns the first line of the answer.
func command(t *testing.T, port int, line string, patience time.Duration) (string, error) {
	t.Helper()
	conn, err := net.Dial("tcp", "127.0.0.1:"+strconv.Itoa(port))
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close() }()
	must(t, conn.SetDeadline(time.Now().Add(patience)))
	if _, err := conn.Write([]byte(line + "\r\n")); err != nil {
		return "", err
	}
	answer, err := bufio.NewReader(conn).ReadString('\n')
	return strings.TrimSpace(answer), err
}

func TestPausedRedisAnswersAfterResume(t *testing.T) {
	r := NewRedis(t)
	if got, err := command(t, r.Port(), "SET k v", time.Second*10); got != "+OK" {
		t.Fatalf("SET: %q, %v", got, err)
	}
	must(t, r.Pause())
	if got, err := command(t, r.Port(), "PING", 100*time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a paused server answers %q, %v", got, err)
	}
	must(t, r.Resume())
	if got, err := command(t, r.Port(), "EXISTS k", time.Second*10); got != ":1" {
		t.Errorf("EXISTS after the pause: %q, %v", got, err)
	}
}

func TestRedisForgetsUnlessToldToSave(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
		want string
	}{
		{"default", nil, ":0"},
		{"append-only file", []string{"--appendonly", "yes", "--appendfsync", "always"}, ":1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := NewRedis(t, c.args...)
			for _, end := range []func() error{r.Stop, r.Kill} {
				if got, err := command(t, r.Port(), "SET k v", time.Second*10); got != "+OK" {
					t.Fatalf("SET: %q, %v", got, err)
				}
				pid := r.Pid()
				must(t, end())
				if alive(pid) || r.Pid() != 0 {
					t.Fatalf("process %d still runs", pid)
				}
				if _, err := command(t, r.Port(), "PING", time.Second); err == nil {
					t.Fatal("a stopped server answers")
				}
				must(t, r.Start(t.Context()))
				if got, err := command(t, r.Port(), "EXISTS k", time.Second*10); got != c.want {
					t.Fatalf("EXISTS after the restart: %q, %v, want %s", got, err, c.want)
				}
			}
		})
	}
}

func TestCloseOfPausedRedisLeavesNothing(t *testing.T) {
	r := NewRedis(t)
	pid := r.Pid()
	must(t, r.Pause())
	must(t, r.Close())
	must(t, r.Close())
	if alive(pid) {
		t.Errorf("process %d still runs", pid)
	}
	if _, err := os.Lstat(r.dir); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", r.dir, err)
	}
	if err := r.Start(t.Context()); err == nil {
		t.Error("a closed server starts")
	}
}

// On a port that two servers could be asked on, the answer of the other must not pass for our server's.
func TestAnotherServersAnswerIsNoticed(t *testing.T) {
	one, two := NewRedis(t), NewRedis(t)
	one.port = two.port
	if err := one.ask(t.Context()); err == nil || !strings.Contains(err.Error(), "another server") {
		t.Errorf("the other server's answer: %v", err)
	}
}

func TestRedisStartErrorShowsTheLog(t *testing.T) {
	dir, err := reserveDir("redis")
	must(t, err)
	_, err = StartRedis(t.Context(), dir, "--no-such-option", "1")
	if err == nil || !strings.Contains(err.Error(), "no-such-option") {
		t.Errorf("the error does not say what the server said: %v", err)
	}
	if _, err := os.Lstat(dir); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", dir, err)
	}
}

func TestSharedRedisIsOne(t *testing.T) {
	if one, two := SharedRedis(t), SharedRedis(t); one != two || one == NewRedis(t).URL() {
		t.Errorf("shared at %s and %s", one, two)
	}
}

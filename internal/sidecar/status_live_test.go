package sidecar

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// screen is a terminal that remembers what was written to it.
type screen struct {
	program *os.File // the program's end

	mu   sync.Mutex
	text bytes.Buffer
}

func newScreen(t *testing.T) *screen {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(int(master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 40, Col: 100}); err != nil {
		t.Fatal(err)
	}
	s := &screen{}
	if s.program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.program.Close() })
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := master.Read(buf)
			s.mu.Lock()
			s.text.Write(buf[:n])
			s.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	return s
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// TestStatusIsLiveOnATerminal: it goes on showing what happens until it is
// stopped, and leaves the terminal as it was.
func TestStatusIsLiveOnATerminal(t *testing.T) {
	r := newRig(t, rigOptions{})
	for _, colours := range []bool{true, false} {
		t.Setenv("TERM", "xterm")
		t.Setenv("NO_COLOR", "")
		if !colours {
			t.Setenv("NO_COLOR", "1")
		}
		s := newScreen(t)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			ended <- Run(ctx, []string{"status", "-config", r.config, "-admin", strings.TrimPrefix(r.admin, "http://"), "-every", "100ms"}, s.program, s.program)
		}()
		r.warm("/api/listings/1")
		r.eventually("two screens", func() bool { return strings.Count(s.String(), home) >= 2 })
		path := fmt.Sprintf("/api/listings/%d", 7)
		before := strings.Count(s.String(), home)
		r.get(path)
		r.eventually("a screen after the request", func() bool { return strings.Count(s.String(), home) >= before+2 })
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		r.eventually("the terminal is as it was", func() bool { return strings.HasSuffix(s.String(), leaveScreen) })
		text := s.String()
		for _, want := range []string{enterScreen, "from the cache", "leader", "/api/listings/{id}", "/s"} {
			if !strings.Contains(text, want) {
				t.Errorf("the screen does not show %q:\n%q", want, text)
			}
		}
		if got := strings.Contains(text, "\x1b[32mready"); got != colours {
			t.Errorf("colours: %v, want %v", got, colours)
		}
	}
}

// TestStatusCountsWhatTheCacheSpared: what isn't for a cache counts neither way.
func TestStatusCountsWhatTheCacheSpared(t *testing.T) {
	if ratio(map[string]float64{"pass": 3}) != nil {
		t.Error("there is a ratio of nothing")
	}
	got := ratio(map[string]float64{"pass": 3, "hit": 5, "collapsed": 1, "miss": 2})
	if got == nil || *got != 0.75 {
		t.Errorf("the ratio is %v, want 0.75", got)
	}
}

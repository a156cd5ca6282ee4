package scenario

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"walpurge/internal/sidecar"
	"walpurge/test/rig"
)

// What a terminal is told, as xterm knows it: use another screen and hide the cursor, come back from there, go to the top.
const (
	enterScreen = "\x1b[?1049h\x1b[?25l"
	leaveScreen = "\x1b[?25h\x1b[?1049l"
	home        = "\x1b[H"
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
	r := rig.New(t, rig.Options{})
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
			ended <- sidecar.Run(ctx, []string{"status", "-config", r.Config, "-admin", strings.TrimPrefix(r.Admin, "http://"), "-every", "100ms"}, s.program, s.program)
		}()
		r.Warm("/api/listings/1")
		r.Eventually("two screens", func() bool { return strings.Count(s.String(), home) >= 2 })
		path := fmt.Sprintf("/api/listings/%d", 7)
		before := strings.Count(s.String(), home)
		r.Get(path)
		r.Eventually("a screen after the request", func() bool { return strings.Count(s.String(), home) >= before+2 })
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		r.Eventually("the terminal is as it was", func() bool { return strings.HasSuffix(s.String(), leaveScreen) })
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

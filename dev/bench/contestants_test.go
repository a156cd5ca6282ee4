package main

import (
	"bytes"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"walpurge/config"
)

func startFloor(t *testing.T) (address string, o *counted) {
	t.Helper()
	dir := t.TempDir()
	program, err := buildFloor(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	s, err := newSite(filepath.Join(dir, "floor-0"), "127.0.0.1:9", "")
	if err != nil {
		t.Fatal(err)
	}
	cores, err := allowedCores()
	if err != nil {
		t.Fatal(err)
	}
	s.Response = filepath.Join(dir, "response")
	if err := os.WriteFile(s.Response, append(headOf(pageSize), bodyOf(pageSize)...), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := contestants("proxy", program)[bottom].launch(s, cores[0])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.stop(); err != nil {
			t.Error(err)
		}
	})
	o = startOrigin(t)
	if err := o.warm(t.Context(), p, s.Listen, ""); err != nil {
		t.Fatal(err)
	}
	return s.Listen, o
}

// However requests are cut into packets, the floor gives one answer to each.
func TestFloorAnswersEachRequestOnce(t *testing.T) {
	address, o := startFloor(t)
	const get = "GET /page/1 HTTP/1.1\r\nHost: a\r\n\r\n"
	for name, c := range map[string]struct {
		packets []string
		answers int
	}{
		"one":                {[]string{get}, 1},
		"three in a packet":  {[]string{get + get + get}, 3},
		"cut in the end":     {[]string{get[:len(get)-2], "\r\n" + get[:5], get[5:]}, 2},
		"byte by byte":       {bytewise(get + get), 2},
		"more CRs than ends": {[]string{"GET / HTTP/1.1\r\nA: \r\r\n\r\r\n", "\r\n"}, 1},
	} {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		for _, packet := range c.packets {
			if _, err := io.WriteString(conn, packet); err != nil {
				t.Fatal(err)
			}
			// It serves in the order of arrival: with this answer, it has read the packet.
			if err := o.fetch(t.Context(), address, page, ""); err != nil {
				t.Fatal(err)
			}
		}
		_ = conn.(*net.TCPConn).CloseWrite()
		got, err := io.ReadAll(conn)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if want := bytes.Repeat(append(headOf(pageSize), bodyOf(pageSize)...), c.answers); !bytes.Equal(got, want) {
			t.Errorf("%s: got %d bytes, want %d answers of %d", name, len(got), c.answers, len(headOf(pageSize))+pageSize)
		}
		_ = conn.Close()
	}
}

func bytewise(s string) (list []string) {
	for i := range len(s) {
		list = append(list, s[i:i+1])
	}
	return list
}

func TestProxyConfigurationsAreValid(t *testing.T) {
	s, err := newSite(t.TempDir(), "127.0.0.1:9", "postgres://postgres@127.0.0.1:5432/postgres?sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	s.Redis = "redis://127.0.0.1:6379/0"
	for name, dependencies := range map[string]int{"plain.yaml": 0, "guarded.yaml": 1} {
		path := filepath.Join(s.Dir, name)
		if err := render(name, path, s); err != nil {
			t.Fatal(err)
		}
		c, err := config.Load(path, nil)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if c.Listen.Address != s.Listen || c.Origin.Host != s.Origin || len(c.Routes[0].DependsOn) != dependencies {
			t.Errorf("%s: got %s", name, c)
		}
	}
}

func TestMissingProgramsAreNamedAtOnce(t *testing.T) {
	err := requirePrograms("sh", "no-such-program", "nor-this")
	if err == nil || !bytes.HasPrefix([]byte(err.Error()), []byte("no-such-program, nor-this not found: `make bench`")) {
		t.Errorf("got %v", err)
	}
	st, err := newStage(t.Context(), t.TempDir(), filepath.Join(t.TempDir(), "proxy"), "", true, nil)
	if err == nil {
		t.Error("went on without the proxy")
	}
	if err := st.end(); err != nil {
		t.Error(err)
	}
}

// Clients that go away with answers on their way don't end it.
func TestFloorSurvivesClientsThatLeave(t *testing.T) {
	address, o := startFloor(t)
	for range 20 {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(conn, strings.Repeat("GET / HTTP/1.1\r\n\r\n", 500))
		_ = conn.Close()
	}
	if err := o.fetch(t.Context(), address, page, ""); err != nil {
		t.Error(err)
	}
}

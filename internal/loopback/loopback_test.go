package loopback

import (
	"net"
	"slices"
	"testing"
	"time"
)

func TestLocalhostIsReachedOnEitherFamily(t *testing.T) {
	for _, at := range []string{"127.0.0.1", "::1"} {
		l, err := net.Listen("tcp", net.JoinHostPort(at, "0"))
		if err != nil {
			t.Fatalf("this machine must have %s: %v", at, err)
		}
		_, port, _ := net.SplitHostPort(l.Addr().String())
		for _, name := range []string{"localhost", "LOCALHOST.", "api.localhost"} {
			conn, err := Dial(t.Context(), &net.Dialer{Timeout: 5 * time.Second}, "tcp", net.JoinHostPort(name, port))
			if err != nil {
				t.Errorf("%s on %s: %v", name, at, err)
				continue
			}
			_ = conn.Close()
		}
		_ = l.Close()
		if _, err := Dial(t.Context(), &net.Dialer{Timeout: 5 * time.Second}, "tcp", "localhost:"+port); err == nil {
			t.Error("connected to nobody")
		}
	}
	if Names("localhost.example") || Names("127.0.0.1") {
		t.Error("another host is taken for this machine")
	}
	if got := Complete([]string{"::1"}); !slices.Equal(got, []string{"::1", "127.0.0.1"}) {
		t.Error(got)
	}
}

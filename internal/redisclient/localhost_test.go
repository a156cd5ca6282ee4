package redisclient

import (
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"walpurge/dev/testbed"
)

// forward hands on what comes to an address that it returns.
func forward(t *testing.T, at, to string) (port string) {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(at, "0"))
	if err != nil {
		t.Fatalf("this machine must have %s: %v", at, err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer near.Close()
				far, err := net.Dial("tcp", to)
				if err != nil {
					return
				}
				defer far.Close()
				go func() { _, _ = io.Copy(far, near) }()
				_, _ = io.Copy(near, far)
			}()
		}
	}()
	_, port, _ = net.SplitHostPort(l.Addr().String())
	return port
}

// Whatever the hosts file says of localhost. A name below it is often in none.
func TestRedisOnLocalhostIsReachedOnEitherFamily(t *testing.T) {
	server, err := testbed.StartRedis(t.Context(), filepath.Join(t.TempDir(), "redis"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	address := strings.TrimSuffix(strings.TrimPrefix(server.URL(), "redis://"), "/0")
	for _, at := range []string{"127.0.0.1", "::1"} {
		port := forward(t, at, address)
		for _, host := range []string{"localhost", "redis.localhost"} {
			for form, answer := range map[string]string{"redis://": "", "redis+cluster://": "cluster support disabled"} {
				c, err := New(form+host+":"+port, Limits{Wait: 5 * time.Second})
				if err != nil {
					t.Fatal(err)
				}
				if err := c.Ping(t.Context()).Err(); (err == nil) != (answer == "") || err != nil && !strings.Contains(err.Error(), answer) {
					t.Errorf("%s%s on %s: %v", form, host, at, err)
				}
				_ = c.Close()
			}
		}
	}
}

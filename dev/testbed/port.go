package testbed

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"testing"
)

const (
	lowestPort = 15000

	// portTries bounds how often a server is started again on another port because its port was taken.
	portTries = 5
)

// FreeAddress is an address of 127.0.0.1 whose port nobody listens on, for a test's own server. It may be closed and
// opened again: the kernel gives the port to nobody's outgoing connection.
func FreeAddress(t testing.TB) string {
	t.Helper()
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("127.0.0.1:%d", port)
}

// freePort finds a port of 127.0.0.1 that nobody listens on at this moment. It stays below the range from which the
// kernel takes ports for outgoing connections: a server that is stopped and started again would sooner or later find
// its port in use by somebody's connection.
func freePort() (int, error) {
	if ceiling := ephemeralStart(); ceiling > lowestPort+1000 {
		for range 100 {
			port := lowestPort + rand.IntN(ceiling-lowestPort)
			if _, err := listenOnce(port); err == nil {
				return port, nil
			}
		}
	}
	port, err := listenOnce(0)
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	return port, nil
}

func listenOnce(port int) (int, error) {
	listener, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return 0, err
	}
	port = listener.Addr().(*net.TCPAddr).Port
	return port, listener.Close()
}

// ephemeralStart is the first port of the kernel's own range, 0 where that can't be read.
func ephemeralStart() int {
	data, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err != nil {
		return 0
	}
	var first, last int
	if _, err := fmt.Sscan(string(data), &first, &last); err != nil {
		return 0
	}
	return first
}

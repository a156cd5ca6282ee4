package cdc

import (
	"net"
	"strings"
	"sync"
	"testing"
)

// switchboard passes connections on to a server that can be exchanged, and
// stops the traffic on demand.
type switchboard struct {
	t testing.TB

	mu     sync.Mutex
	target string
	frozen chan struct{} // nil, or closed at the end of the freeze
	conns  []net.Conn
}

// url is the target's URL with the switchboard's address.
func (s *switchboard) url() string {
	s.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		_ = l.Close()
		s.freeze(false)
		s.hangUp()
	})
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			s.connect(conn)
		}
	}()
	return strings.Replace(s.target, addressOf(s.target), l.Addr().String(), 1)
}

func addressOf(url string) string {
	_, rest, _ := strings.Cut(url, "@")
	address, _, _ := strings.Cut(rest, "/")
	return address
}

func (s *switchboard) connect(conn net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	server, err := net.Dial("tcp", addressOf(s.target))
	if err != nil {
		_ = conn.Close()
		return
	}
	s.conns = append(s.conns, conn, server)
	go s.pass(conn, server)
	go s.pass(server, conn)
}

func (s *switchboard) pass(from, to net.Conn) {
	defer func() { _, _ = from.Close(), to.Close() }()
	buf := make([]byte, 16<<10)
	for {
		n, err := from.Read(buf)
		s.mu.Lock()
		frozen := s.frozen
		s.mu.Unlock()
		if frozen != nil {
			<-frozen
		}
		if err != nil {
			return
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

// lead ends all connections; new ones lead to target.
func (s *switchboard) lead(target string) {
	s.mu.Lock()
	s.target = target
	s.mu.Unlock()
	s.hangUp()
}

func (s *switchboard) hangUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		_ = c.Close()
	}
	s.conns = nil
}

// freeze stops all traffic, or lets it go on.
func (s *switchboard) freeze(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case on && s.frozen == nil:
		s.frozen = make(chan struct{})
	case !on && s.frozen != nil:
		close(s.frozen)
		s.frozen = nil
	}
}

package downstream

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"time"
)

// handshakeTime is how long a client may take for the TLS handshake.
const handshakeTime = 10 * time.Second

// secured is a listener whose connections have their TLS handshake behind
// them. Those that speak HTTP/2 go to h2, the others are accepted.
type secured struct {
	net.Listener
	config *tls.Config
	h1, h2 *queue
	wg     sync.WaitGroup
}

func newSecured(ln net.Listener, config *tls.Config, h2 *queue) *secured {
	config = config.Clone()
	config.NextProtos = []string{"h2", "http/1.1"}
	s := &secured{Listener: ln, config: config, h1: newQueue(), h2: h2}
	go s.accept()
	return s
}

func (s *secured) accept() {
	for wait := time.Duration(0); ; {
		c, err := s.Listener.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			_ = s.h1.Close()
			return
		case err != nil: // out of file descriptors, most likely: others will be closed
			wait = min(max(2*wait, 5*time.Millisecond), time.Second)
			select {
			case <-time.After(wait):
			case <-s.h1.done:
			}
			continue
		}
		wait = 0
		s.wg.Go(func() { s.handshake(tls.Server(c, s.config)) })
	}
}

func (s *secured) handshake(c *tls.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), handshakeTime)
	defer cancel()
	if err := c.HandshakeContext(ctx); err != nil {
		_ = c.Close()
		return
	}
	if c.ConnectionState().NegotiatedProtocol == "h2" {
		s.h2.give(c)
		return
	}
	s.h1.give(c)
}

// Accept implements net.Listener.
func (s *secured) Accept() (net.Conn, error) { return s.h1.Accept() }

// Close implements net.Listener.
func (s *secured) Close() error {
	err := s.Listener.Close()
	_ = s.h1.Close()
	return err
}

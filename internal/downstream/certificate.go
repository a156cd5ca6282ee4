package downstream

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Certificate is a certificate and its key in two files. They are read again
// when they have changed; ones that can't be used leave those in use that were.
type Certificate struct {
	certFile, keyFile string
	log               *slog.Logger
	now               func() time.Time
	looked            atomic.Int64 // Unix nanoseconds of the last look
	current           atomic.Pointer[tls.Certificate]

	mu    sync.Mutex
	stamp [2]stamp
}

// stamp tells whether a file has changed.
type stamp struct {
	size     int64
	modified time.Time
}

// lookEvery is how often the files are looked at, at most.
const lookEvery = time.Second

// NewCertificate reads both files. log gets what later goes wrong; nil: nobody.
func NewCertificate(certFile, keyFile string, log *slog.Logger) (*Certificate, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	c := &Certificate{certFile: certFile, keyFile: keyFile, log: log, now: time.Now}
	if err := c.read(); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *Certificate) read() error {
	var stamps [2]stamp
	for i, name := range []string{c.certFile, c.keyFile} {
		info, err := os.Stat(name)
		if err != nil {
			return fmt.Errorf("read the certificate: %w", err)
		}
		stamps[i] = stamp{info.Size(), info.ModTime()}
	}
	c.looked.Store(c.now().UnixNano())
	if stamps == c.stamp {
		return nil
	}
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return fmt.Errorf("read the certificate %s with the key %s: %w", c.certFile, c.keyFile, err)
	}
	if c.current.Swap(&pair) != nil {
		c.log.Info("certificate read again", "file", c.certFile)
	}
	c.stamp = stamps
	return nil
}

// Config is a TLS configuration that always presents the newest certificate.
func (c *Certificate) Config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			c.refresh()
			return c.current.Load(), nil
		},
	}
}

// refresh looks at the files if that was long ago. One handshake does it, the
// others go on.
func (c *Certificate) refresh() {
	now := c.now().UnixNano()
	looked := c.looked.Load()
	if now-looked < int64(lookEvery) || !c.looked.CompareAndSwap(looked, now) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.read(); err != nil {
		c.log.Warn("the certificate in use stays", "error", err)
	}
}

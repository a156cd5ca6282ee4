//go:build !linux

package primary

import (
	"net"
	"time"
)

// gatherer lets what a connection receives gather.
type gatherer struct{}

func newGatherer(net.Conn) *gatherer { return nil }

// gather waits for as long as it is told, or for what the platform's timers
// make of it.
func (g *gatherer) gather(patience time.Duration) { time.Sleep(patience) }

func (g *gatherer) calm() {}

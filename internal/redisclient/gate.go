package redisclient

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// Bounds of a Gate.
const (
	gatePatience = 3           // failures in a row,
	gatePause    = time.Second // after which Redis is left alone for so long
)

// Gate keeps requests from waiting for a Redis that fails again and again. Its
// zero value is open.
type Gate struct {
	failures atomic.Int32
	closedAt atomic.Int64 // unix nanoseconds until which Redis is left alone; 0: it isn't
}

// Open tells whether Redis is to be asked. After a pause one request probes.
func (g *Gate) Open() bool {
	at := g.closedAt.Load()
	if at == 0 {
		return true
	}
	now := time.Now().UnixNano()
	return now >= at && g.closedAt.CompareAndSwap(at, now+int64(gatePause))
}

// Note takes a command's result. It tells whether the gate has closed with it.
// A key that isn't there is no failure.
func (g *Gate) Note(err error) (closed bool) {
	if err == nil || errors.Is(err, redis.Nil) {
		g.failures.Store(0)
		g.closedAt.Store(0)
		return false
	}
	return g.failures.Add(1) >= gatePatience && g.closedAt.Swap(time.Now().Add(gatePause).UnixNano()) == 0
}

// Reachable tells whether the gate is open, without taking the probe's place.
func (g *Gate) Reachable() bool { return g.closedAt.Load() == 0 }

package cdc

import (
	"context"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"walpurge/dev/testbed"
)

// meter counts what a Redis client sends.
type meter struct{ commands, bytes atomic.Int64 }

func (m *meter) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := next(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &meteredConn{conn, m}, nil
	}
}

func (m *meter) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		m.commands.Add(1)
		return next(ctx, cmd)
	}
}

func (m *meter) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		m.commands.Add(int64(len(cmds)))
		return next(ctx, cmds)
	}
}

type meteredConn struct {
	net.Conn
	meter *meter
}

func (c *meteredConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.meter.bytes.Add(int64(n))
	return n, err
}

// TestLeaderDoesTheSameForOneFollowerAsForMany: what the leader sends to Redis
// does not depend on how many read it. How many commits share an entry depends
// on what else the machine does, so entries are what counts: two commands for
// each, and a few for every second.
func TestLeaderDoesTheSameForOneFollowerAsForMany(t *testing.T) {
	const (
		commits, many = 100, 20
		everyEntry    = 2   // to write it, and to look for the one before
		everySecond   = 15  // to see where the stream ends, who reads it, and who waits
		others        = 20  // renewals of the stream's life, for instance
		framing       = 300 // bytes of a command besides the entry
	)
	pg := testbed.NewPostgres(t, map[string]string{"max_connections": "200"})
	f := newFleet(t, pg.URL("postgres"), testbed.SharedRedis(t))
	own := func(c *Config) { c.Relay.Client = relayClient(t, testbed.SharedRedis(t)) } // a read that waits has a connection
	var sent meter
	leader := f.join(own, func(c *Config) { c.Relay.Client.AddHook(&sent) })
	f.ready(leader)
	f.role(leader, roleLeader)
	f.exec("INSERT INTO listings VALUES (1, 'Lagos', 0, NULL)")
	measure := func(followers []*rig) {
		f.ready(followers...)
		f.agree(append(followers, leader)...)
		// Other goroutines go on meanwhile: the end is read after the counters, and
		// the beginning before.
		from, began := len(f.messages()), time.Now()
		commands, size := sent.commands.Load(), sent.bytes.Load()
		for i := range commits {
			f.exec(fmt.Sprintf("UPDATE listings SET price = %d WHERE id = 1", i))
		}
		f.agree(append(followers, leader)...)
		commands, size = sent.commands.Load()-commands, sent.bytes.Load()-size
		took := time.Since(began)
		written, all := int64(0), f.messages()[from:]
		for i := range all {
			written += int64(len(all[i].Blob))
		}
		testbed.Measured(t, "followers: %d; for %d commits in %v the leader sends %d commands and %d bytes to Redis: %d entries of %d bytes in all",
			len(followers), commits, took.Round(time.Millisecond), commands, size, len(all), written)
		if most := int64(everyEntry*len(all)) + int64(everySecond*took.Seconds()) + others; commands > most {
			t.Errorf("with %d followers the leader sends %d commands, want at most %d", len(followers), commands, most)
		}
		if most := written + framing*commands; size > most {
			t.Errorf("with %d followers the leader sends %d bytes, want at most %d", len(followers), size, most)
		}
	}
	followers := []*rig{f.join(own)}
	measure(followers)
	for len(followers) < many {
		followers = append(followers, f.join(own))
	}
	measure(followers)
}

package cdc

import (
	"context"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"walpurge/internal/testbed"
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
// for a commit does not depend on how many read it.
func TestLeaderDoesTheSameForOneFollowerAsForMany(t *testing.T) {
	const commits, many = 200, 30
	pg := testbed.NewPostgres(t, map[string]string{"max_connections": "200"})
	f := newFleet(t, pg.URL("postgres"), testbed.SharedRedis(t))
	var sent meter
	leader := f.join(func(c *Config) {
		c.Relay.Client = relayClient(t, testbed.SharedRedis(t))
		c.Relay.Client.AddHook(&sent)
	})
	f.ready(leader)
	f.role(leader, roleLeader)
	f.exec("INSERT INTO listings VALUES (1, 'Lagos', 0, NULL)")
	measure := func(followers []*rig) (commands, bytes float64) {
		f.ready(followers...)
		f.agree(append(followers, leader)...)
		before, size := sent.commands.Load(), sent.bytes.Load()
		began := time.Now()
		for i := range commits {
			f.exec(fmt.Sprintf("UPDATE listings SET price = %d WHERE id = 1", i))
		}
		took := time.Since(began)
		f.agree(append(followers, leader)...)
		commands, bytes = float64(sent.commands.Load()-before)/commits, float64(sent.bytes.Load()-size)/commits
		testbed.Measured(t, "followers: %d; the leader sends %.2f commands and %.0f bytes a commit to Redis, at %.0f commits/s", len(followers), commands, bytes, commits/took.Seconds())
		return commands, bytes
	}
	own := func(c *Config) { c.Relay.Client = relayClient(t, testbed.SharedRedis(t)) } // a read that waits has a connection
	followers := []*rig{f.join(own)}
	few, short := measure(followers)
	for len(followers) < many {
		followers = append(followers, f.join(own))
	}
	lots, long := measure(followers)
	if lots > 1.5*few+0.5 || long > 1.5*short {
		t.Errorf("with %d followers the leader sends %.2f commands and %.0f bytes a commit, with one %.2f and %.0f", many, lots, long, few, short)
	}
}

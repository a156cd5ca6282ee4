package testbed

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"
)

// MasterName is what the sentinels of StartSentinel call their master.
const MasterName = "mymaster"

// StartSentinel starts a sentinel that watches master alone: half a second after master is gone it promotes a replica.
// dir is treated as by StartRedis.
func StartSentinel(ctx context.Context, dir string, master *Redis) (*Redis, error) {
	return startRedis(ctx, dir, fmt.Sprintf("sentinel monitor %[1]s 127.0.0.1 %[2]d 1\nsentinel down-after-milliseconds %[1]s 500\n"+
		"sentinel failover-timeout %[1]s 2000\n", MasterName, master.Port()), nil)
}

// NewSentinel starts a sentinel for this test alone, closed at its end.
func NewSentinel(t testing.TB, master *Redis) *Redis {
	t.Helper()
	dir, err := reserveDir("sentinel")
	if err != nil {
		t.Fatalf("start a sentinel: %v", err)
	}
	s, err := StartSentinel(context.Background(), dir, master)
	if err != nil {
		t.Fatalf("start a sentinel: %v", err)
	}
	adopt(t, s.Close, s.Log())
	return s
}

// NewRedisReplica starts a replica of master for this test alone and returns once it has what master has.
func NewRedisReplica(t testing.TB, master *Redis) *Redis {
	t.Helper()
	r := NewRedis(t, "--replicaof", "127.0.0.1 "+strconv.Itoa(master.Port()))
	ctx, cancel := withPatience(context.Background())
	defer cancel()
	if err := r.await(ctx, "INFO replication", "master_link_status:up"); err != nil {
		t.Fatalf("start a replica: %v", err)
	}
	return r
}

// NewRedisCluster starts a cluster of n servers for this test alone, with the slots shared out evenly, and returns once
// all agree that it works.
func NewRedisCluster(t testing.TB, n int) []*Redis {
	t.Helper()
	ctx, cancel := withPatience(context.Background())
	defer cancel()
	var nodes []*Redis
	var buses []int
	for range n {
		bus, err := freePort()
		if err != nil {
			t.Fatalf("start a cluster: %v", err)
		}
		buses = append(buses, bus)
		nodes = append(nodes, NewRedis(t, "--cluster-enabled", "yes", "--cluster-port", strconv.Itoa(bus), "--cluster-node-timeout", "5000"))
	}
	const slots = 16384
	for i, node := range nodes {
		first, last := slots*i/n, slots*(i+1)/n-1
		err := node.await(ctx, fmt.Sprintf("CLUSTER ADDSLOTSRANGE %d %d", first, last), "+OK")
		if err == nil && i > 0 {
			err = node.await(ctx, fmt.Sprintf("CLUSTER MEET 127.0.0.1 %d %d", nodes[0].Port(), buses[0]), "+OK")
		}
		if err != nil {
			t.Fatalf("start a cluster: %v", err)
		}
	}
	for _, node := range nodes {
		if err := node.await(ctx, "CLUSTER INFO", "cluster_state:ok", "cluster_known_nodes:"+strconv.Itoa(n), "cluster_slots_ok:"+strconv.Itoa(slots)); err != nil {
			t.Fatalf("start a cluster: %v", err)
		}
	}
	return nodes
}

// await sends a command until the answer has every one of the lines. An error in the answer ends it.
func (r *Redis) await(ctx context.Context, command string, lines ...string) error {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		answer, err := r.say(ctx, command)
		have := 0
		for _, line := range lines {
			if strings.Contains("\n"+answer, "\n"+line+"\r\n") {
				have++
			}
		}
		switch {
		case err == nil && have == len(lines):
			return nil
		case strings.HasPrefix(answer, "-"):
			return fmt.Errorf("%s: %s", command, strings.TrimSpace(answer))
		}
		select {
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("%s: %w; the last answer: %s", command, ctx.Err(), answer), err)
		case <-tick.C:
		}
	}
}

// say sends one inline command and returns the answer as it comes.
func (r *Redis) say(ctx context.Context, command string) (string, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", r.address())
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return "", err
	}
	if _, err := io.WriteString(conn, command+"\r\nPING\r\n"); err != nil { // a sentinel knows no QUIT
		return "", err
	}
	var answer strings.Builder
	for from := bufio.NewReader(conn); ; {
		line, err := from.ReadString('\n')
		if err != nil || line == "+PONG\r\n" {
			return answer.String(), err
		}
		answer.WriteString(line)
	}
}

package cdc

import (
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"walpurge/dev/testbed"
)

// TestRelayOnACluster: the relay's commands name one key, so a Redis Cluster
// serves it too.
func TestRelayOnACluster(t *testing.T) {
	bus, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := bus.Addr().(*net.TCPAddr).Port
	_ = bus.Close()
	server := testbed.NewRedis(t, "--cluster-enabled", "yes", "--cluster-port", strconv.Itoa(port))
	f := newFleet(t, testbed.Database(t), server.URL())
	if err := f.redis.ClusterAddSlotsRange(t.Context(), 0, 16383).Err(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the cluster is up", func() bool {
		return strings.Contains(f.redis.ClusterInfo(t.Context()).Val(), "cluster_state:ok")
	})
	cluster := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{redisAddress(f)}, ContextTimeoutEnabled: true})
	t.Cleanup(func() { _ = cluster.Close() })
	f.cfg.Relay.Client = cluster
	leader := f.join()
	f.ready(leader)
	follower := f.join()
	f.ready(follower)
	f.exec("INSERT INTO listings VALUES (1, 'Lagos', 10, NULL)")
	f.agree(leader, follower)
	f.sameLines(leader, follower)
	epoch := leader.guard.Epoch()
	if err := leader.stop(); err != nil {
		t.Fatal(err)
	}
	f.role(follower, roleLeader)
	f.exec("INSERT INTO listings VALUES (2, 'Lagos', 10, NULL)")
	f.agree(follower)
	if now := follower.guard.Epoch(); now != epoch {
		t.Errorf("epoch %s after %s: %v", now, epoch, follower.epochs())
	}
}

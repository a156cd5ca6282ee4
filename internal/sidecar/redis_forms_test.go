package sidecar

import (
	"context"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"walpurge/dev/testbed"
)

// TestSentinelFailover: behind Sentinel the proxies go on when the master is
// killed. What they had is kept if the replica has it all; if it lacks entries
// of the relay, a new epoch begins. Either way hits return, and nothing old is
// served meanwhile.
func TestSentinelFailover(t *testing.T) {
	for _, lost := range []bool{false, true} {
		t.Run(fmt.Sprintf("lost=%t", lost), func(t *testing.T) {
			master := testbed.NewRedis(t, "--repl-diskless-sync-delay", "0")
			replica := testbed.NewRedisReplica(t, master)
			sentinel := testbed.NewSentinel(t, master)
			r := newRig(t, rigOptions{
				redis:   fmt.Sprintf("redis+sentinel://127.0.0.1:%d/%s/0", sentinel.Port(), testbed.MasterName),
				proxies: 2,
			})
			all := []*rig{r, r.peers[0]}
			r.insert(1, "one", "Lagos", "house", 3, "100")
			r.insert(2, "two", "Kano", "house", 3, "100")
			for _, p := range all {
				p.caughtUp()
				p.warm("/api/listings/1", "/api/listings/2")
			}
			r.eventually("the sentinel knows the replica", func() bool {
				return strings.Contains(say(t, sentinel.Port(), "info", "sentinel"), "slaves=1")
			})
			r.eventually("the replica has the relay", func() bool {
				return sequence(t, replica.Port(), r) == sequence(t, master.Port(), r)
			})
			if lost {
				say(t, replica.Port(), "replicaof", "127.0.0.1", "1") // where nobody listens: it gets nothing more
				for i := range 20 {
					r.exec(`update listings set price = $1 where id = 2`, 100+i)
				}
				for _, p := range all {
					p.caughtUp()
				}
			}
			must(t, master.Kill())
			r.exec(`update listings set title = 'edited' where id = 1`)
			asked := 0
			r.eventually("the replica is the master", func() bool {
				for _, p := range all {
					for _, path := range []string{"/api/listings/1", "/api/listings/2"} {
						if got := p.get(path); got.status != 200 {
							t.Fatalf("%s: status %d", path, got.status)
						}
						asked++
					}
				}
				return strings.Contains(say(t, replica.Port(), "info", "replication"), "role:master")
			})
			r.eventually("the relay goes on", func() bool { return sequence(t, replica.Port(), r) > 0 && r.leads() })
			r.exec(`update listings set title = 'edited again' where id = 1`)
			for _, p := range all {
				p.caughtUp()
				p.warm("/api/listings/1", "/api/listings/2")
				if got := p.get("/api/listings/1"); !strings.Contains(got.body, "edited again") {
					t.Errorf("%q %s", got.header.Get("Cache-Status"), got.body)
				}
			}
			if lost {
				r.eventually("a new epoch", func() bool { return r.metric("walpurge_epochs_total", `reason="redis"`) > 0 })
				r.eventually("hits in it on both", func() bool {
					return r.status().Position.Epoch == r.peers[0].status().Position.Epoch && r.get("/api/listings/1").hit() && r.peers[0].get("/api/listings/1").hit()
				})
			}
			testbed.Measured(t, "Sentinel failover, entries lost: %t: %d requests during it, none failed; new epochs: %v", lost, asked, r.metric("walpurge_epochs_total", `reason="redis"`))
		})
	}
}

// TestRedisCluster: tier and relay work on a cluster, every key is under the
// namespace, and no command spans keys or looks at all of them.
func TestRedisCluster(t *testing.T) {
	nodes := testbed.NewRedisCluster(t, 3)
	var addresses []string
	for _, n := range nodes[:2] { // the third is found
		addresses = append(addresses, net.JoinHostPort("127.0.0.1", strconv.Itoa(n.Port())))
	}
	r := newRig(t, rigOptions{redis: "redis+cluster://" + strings.Join(addresses, ","), proxies: 2})
	r.host = "listings.test"
	r.peers[0].host = r.host
	var paths []string
	for i := range 20 {
		r.insert(i+1, fmt.Sprint("number ", i+1), "Lagos", "house", 3, "100")
		paths = append(paths, fmt.Sprintf("/api/listings/%d", i+1))
	}
	r.caughtUp()
	r.warm(paths...)
	r.eventually("Redis has them", func() bool {
		return r.metric("walpurge_redis_requests_total", `op="set"`, `result="ok"`) >= float64(len(paths))
	})
	p := r.peers[0]
	p.caughtUp()
	before := r.requests.Load()
	for _, path := range paths {
		if got := p.get(path); !got.hit() {
			t.Errorf("%s: Cache-Status %q", path, got.header.Get("Cache-Status"))
		}
	}
	if n := r.requests.Load() - before; n != 0 {
		t.Errorf("%d requests reached the origin", n)
	}
	r.exec(`update listings set title = 'edited' where id = 7`)
	p.caughtUp()
	if got := p.get(paths[6]); got.hit() || !strings.Contains(got.body, "edited") {
		t.Errorf("%q %s", got.header.Get("Cache-Status"), got.body)
	}
	p.stillHits(paths[:6]...)
	// The tier and the epoch outlive the proxies.
	epoch := r.status().Position.Epoch
	must(t, p.stop())
	must(t, r.stop())
	r.start(true)
	r.caughtUp()
	before = r.requests.Load()
	r.stillHits(paths[:6]...)
	if n := r.requests.Load() - before; n != 0 || r.status().Position.Epoch != epoch {
		t.Errorf("after a restart: %d requests reached the origin; epoch %s after %s", n, r.status().Position.Epoch, epoch)
	}

	// Each node says how large it is.
	r.eventually("the nodes' sizes", func() bool { return len(r.samples("walpurge_redis_server_bytes")) == len(nodes) })

	used, keys := map[string]bool{}, 0
	for _, n := range nodes {
		c := redis.NewClient(&redis.Options{Addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(n.Port()))})
		defer func() { _ = c.Close() }()
		for line := range strings.Lines(say(t, n.Port(), "info", "commandstats")) {
			if name, ok := strings.CutPrefix(line, "cmdstat_"); ok {
				name, _, _ = strings.Cut(name, ":")
				used[name] = true
			}
		}
		if errors := say(t, n.Port(), "info", "errorstats"); strings.Contains(errors, "CROSSSLOT") {
			t.Errorf("a command spans slots: %s", errors)
		}
		list, err := c.Keys(t.Context(), "*").Result()
		must(t, err)
		if len(list) == 0 {
			t.Errorf("node %d holds nothing", n.Port())
		}
		for _, key := range list {
			keys++
			if !strings.HasPrefix(key, slotName(r.dbURL)+":") {
				t.Errorf("the key %q is outside the namespace", key)
			}
			if ttl, err := c.TTL(t.Context(), key).Result(); err != nil || ttl <= 0 {
				t.Errorf("the key %q has no end: %v, %v", key, ttl, err)
			}
		}
	}
	t.Logf("%d keys; commands: %s", keys, strings.Join(slices.Sorted(maps.Keys(used)), " "))
	for name := range used {
		switch name, _, _ := strings.Cut(name, "|"); name {
		case "get", "set", "unlink", "xadd", "xrange", "xrevrange", "xread", "xinfo", "expire", "exists",
			"hset", "hgetall", "hdel", "pexpire", // of who shares the slot
			"sadd", "spop": // of who asks the one that leads
		case "dbsize": // with info: how large a node is
		case "hello", "client", "cluster", "command", "info", "ping", "readonly": // the library's and the testbed's own
		default:
			t.Errorf("%s was used", name)
		}
	}
}

// say sends a command to a Redis and returns the text of its answer.
func say(t *testing.T, port int, args ...any) string {
	t.Helper()
	c := redis.NewClient(&redis.Options{Addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), Protocol: 2})
	defer func() { _ = c.Close() }()
	text, err := c.Do(context.WithoutCancel(t.Context()), args...).Text()
	must(t, err)
	return text
}

// sequence is that of the last entry of the proxies' relay on a Redis.
func sequence(t *testing.T, port int, r *rig) uint64 {
	t.Helper()
	c := redis.NewClient(&redis.Options{Addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(port))})
	defer func() { _ = c.Close() }()
	name := slotName(r.dbURL)
	last, err := c.XRevRangeN(t.Context(), name+":relay:"+strings.TrimPrefix(name, "w_")+":"+name, "+", "-", 1).Result()
	must(t, err)
	if len(last) == 0 {
		return 0
	}
	number, _, _ := strings.Cut(last[0].ID, "-")
	n, err := strconv.ParseUint(number, 10, 64)
	must(t, err)
	return n
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

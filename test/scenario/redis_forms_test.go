package scenario

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
	"walpurge/test/rig"
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
			r := rig.New(t, rig.Options{
				Redis:   fmt.Sprintf("redis+sentinel://127.0.0.1:%d/%s/0", sentinel.Port(), testbed.MasterName),
				Proxies: 2,
			})
			all := []*rig.Rig{r, r.Peers[0]}
			r.Insert(1, "one", "Lagos", "house", 3, "100")
			r.Insert(2, "two", "Kano", "house", 3, "100")
			for _, p := range all {
				p.CaughtUp()
				p.Warm("/api/listings/1", "/api/listings/2")
			}
			r.Eventually("the sentinel knows the replica", func() bool {
				return strings.Contains(say(t, sentinel.Port(), "info", "sentinel"), "slaves=1")
			})
			r.Eventually("the replica has the relay", func() bool {
				return sequence(t, replica.Port(), r) == sequence(t, master.Port(), r)
			})
			if lost {
				say(t, replica.Port(), "replicaof", "127.0.0.1", "1") // where nobody listens: it gets nothing more
				for i := range 20 {
					r.Exec(`update listings set price = $1 where id = 2`, 100+i)
				}
				for _, p := range all {
					p.CaughtUp()
				}
			}
			must(t, master.Kill())
			r.Exec(`update listings set title = 'edited' where id = 1`)
			asked := 0
			r.Eventually("the replica is the master", func() bool {
				for _, p := range all {
					for _, path := range []string{"/api/listings/1", "/api/listings/2"} {
						if got := p.Get(path); got.Status != 200 {
							t.Fatalf("%s: status %d", path, got.Status)
						}
						asked++
					}
				}
				return strings.Contains(say(t, replica.Port(), "info", "replication"), "role:master")
			})
			r.Eventually("the relay goes on", func() bool { return sequence(t, replica.Port(), r) > 0 && r.Leads() })
			r.Exec(`update listings set title = 'edited again' where id = 1`)
			for _, p := range all {
				p.CaughtUp()
				p.Warm("/api/listings/1", "/api/listings/2")
				if got := p.Get("/api/listings/1"); !strings.Contains(got.Body, "edited again") {
					t.Errorf("%q %s", got.Header.Get("Cache-Status"), got.Body)
				}
			}
			if lost {
				r.Eventually("a new epoch", func() bool { return r.Metric("walpurge_epochs_total", `reason="redis"`) > 0 })
				r.Eventually("hits in it on both", func() bool {
					return r.Status().Position.Epoch == r.Peers[0].Status().Position.Epoch && r.Get("/api/listings/1").Hit() && r.Peers[0].Get("/api/listings/1").Hit()
				})
			}
			testbed.Measured(t, "Sentinel failover, entries lost: %t: %d requests during it, none failed; new epochs: %v", lost, asked, r.Metric("walpurge_epochs_total", `reason="redis"`))
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
	r := rig.New(t, rig.Options{Redis: "redis+cluster://" + strings.Join(addresses, ","), Proxies: 2})
	r.Host = "listings.test"
	r.Peers[0].Host = r.Host
	var paths []string
	for i := range 20 {
		r.Insert(i+1, fmt.Sprint("number ", i+1), "Lagos", "house", 3, "100")
		paths = append(paths, fmt.Sprintf("/api/listings/%d", i+1))
	}
	r.CaughtUp()
	r.Warm(paths...)
	r.Eventually("Redis has them", func() bool {
		return r.Metric("walpurge_redis_requests_total", `op="set"`, `result="ok"`) >= float64(len(paths))
	})
	p := r.Peers[0]
	p.CaughtUp()
	before := r.Requests.Load()
	for _, path := range paths {
		if got := p.Get(path); !got.Hit() {
			t.Errorf("%s: Cache-Status %q", path, got.Header.Get("Cache-Status"))
		}
	}
	if n := r.Requests.Load() - before; n != 0 {
		t.Errorf("%d requests reached the origin", n)
	}
	r.Exec(`update listings set title = 'edited' where id = 7`)
	p.CaughtUp()
	if got := p.Get(paths[6]); got.Hit() || !strings.Contains(got.Body, "edited") {
		t.Errorf("%q %s", got.Header.Get("Cache-Status"), got.Body)
	}
	p.StillHits(paths[:6]...)
	// The tier and the epoch outlive the proxies.
	epoch := r.Status().Position.Epoch
	must(t, p.Stop())
	must(t, r.Stop())
	r.Start(true)
	r.CaughtUp()
	before = r.Requests.Load()
	r.StillHits(paths[:6]...)
	if n := r.Requests.Load() - before; n != 0 || r.Status().Position.Epoch != epoch {
		t.Errorf("after a restart: %d requests reached the origin; epoch %s after %s", n, r.Status().Position.Epoch, epoch)
	}

	// Each node says how large it is.
	r.Eventually("the nodes' sizes", func() bool { return len(r.Samples("walpurge_redis_server_bytes")) == len(nodes) })

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
			if !strings.HasPrefix(key, rig.SlotName(r.DBURL)+":") {
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
func sequence(t *testing.T, port int, r *rig.Rig) uint64 {
	t.Helper()
	c := redis.NewClient(&redis.Options{Addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(port))})
	defer func() { _ = c.Close() }()
	name := rig.SlotName(r.DBURL)
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

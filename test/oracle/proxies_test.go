package oracle

import (
	"testing"
	"time"

	"walpurge/dev/testbed"
	"walpurge/test/rig"
)

// TestOracleTwoProxies does so with two proxies, and readers that jump from
// one to the other. What one proxy has settled binds that one; that a change
// shows everywhere within max_lag binds both. Half of the readers carry
// positions wherever they go, and some read strict routes.
func TestOracleTwoProxies(t *testing.T) { oracleOver(t, 2) }

// TestOracleFiveProxies does so with five, of which each has next to no memory:
// what is asked for in many spellings is found in Redis, and is not kept.
func TestOracleFiveProxies(t *testing.T) { oracleOver(t, 5) }

func oracleOver(t *testing.T, proxies int) {
	duration, least := rig.TrialOf(time.Minute, 10_000)
	crowded, spellings := proxies > 2, 0
	o := rig.Options{Redis: testbed.SharedRedis(t), Proxies: proxies - 1, Routes: rig.OracleRoutes}
	if crowded {
		o.Extra, spellings = "memory: 1MiB\n", 50
	}
	r := rig.New(t, o)
	// The last one is far from Redis: it hears of every change after the others.
	far, redisURL := rig.NewCable(t, r.Redis)
	far.Slow(10*time.Millisecond, 5*time.Millisecond)
	r.Peers = append(r.Peers, r.StartPeer(r.Configure(r.DBURL, redisURL)))
	all := rig.Members(append([]*rig.Rig{r}, r.Peers...)...)
	for _, p := range r.Peers {
		p.Ready()
	}
	tr := rig.NewTrial(r, all, rig.MixedCrew)
	tr.Spellings, tr.LeastHits = spellings, 30
	tr.Run(duration, least)
	tr.Judge(0.2)
	tr.JudgeHistories()
	if crowded && tr.RedisHits.Load() < 100 {
		t.Errorf("%d hits came from Redis: too few to tell anything about them", tr.RedisHits.Load())
	}
	var epochs float64
	for _, m := range all {
		epochs += m.Proxy.Load().Metric("walpurge_epochs_total")
	}
	if epochs != float64(proxies) {
		t.Errorf("%v epochs, want the first of each proxy", epochs)
	}
}

package oracle

import (
	"testing"
	"time"

	"walpurge/dev/testbed"
	"walpurge/test/rig"
)

// TestOracleQueryCache holds what the origin serves from its query cache, with
// no proxy before it, against the oracle.
func TestOracleQueryCache(t *testing.T) { oracleOfQueries(t, 20*time.Second, false) }

// TestOracleAgentsInResults does so with changes of what results show by a join: the names of the
// listings' agents.
func TestOracleAgentsInResults(t *testing.T) { oracleOfQueries(t, 10*time.Second, true) }

func oracleOfQueries(t *testing.T, duration time.Duration, agents bool) {
	duration, least := rig.TrialOf(duration, 5000)
	redisURL := testbed.SharedRedis(t)
	r := rig.New(t, rig.Options{Redis: redisURL, Queries: redisURL, Away: true})
	r.URL = r.Origin.URL
	tr := rig.NewTrial(r, rig.Members(r), rig.Crew{Plain: rig.Readers})
	if agents {
		tr.NameAgents()
	}
	tr.Run(duration, least)
	results := r.Queries.Results(t)
	testbed.Measured(t, "queries by result: %v", results)
	if results["outdated"] == 0 {
		t.Errorf("the test needs results that have ended: %v", results)
	}
	tr.Hits.Store(int64(results["hit"]))
	tr.Judge(0.2)
}

// TestOracleTwoLevels holds what is shown against it with two proxies before an origin with a query
// cache, and readers of every kind. The origin hears of every change after the
// proxies: what it would show on its own is older than what they have purged.
func TestOracleTwoLevels(t *testing.T) {
	duration, least := rig.TrialOf(30*time.Second, 5000)
	redisURL := testbed.SharedRedis(t)
	far, farURL := rig.NewCable(t, redisURL)
	// The proxy leads, for it is there first: the origin follows from afar.
	r := rig.New(t, rig.Options{Redis: redisURL, Proxies: 2, Routes: rig.OracleRoutes, Queries: farURL})
	far.Slow(5*time.Millisecond, 2*time.Millisecond)
	tr := rig.NewTrial(r, rig.Members(append([]*rig.Rig{r}, r.Peers...)...), rig.MixedCrew)
	tr.LeastHits = 30
	tr.Run(duration, least)
	results := r.Queries.Results(t)
	testbed.Measured(t, "queries by result: %v", results)
	if results["hit"] == 0 || results["behind"] == 0 {
		t.Errorf("the test needs hits, and queries that must not be: %v", results)
	}
	tr.Judge(0.2)
	tr.JudgeHistories()
}

// TestOracleTwoLevelsThroughFaults brings about the faults that take most away while proxies and the query cache
// behind them are at work, in one relay and on one slot. A fault is over when both levels serve hits again.
func TestOracleTwoLevelsThroughFaults(t *testing.T) {
	f := newFaults(t, faultsOptions{proxies: 2, queries: true})
	f.LeastHits = 5
	f.Start()
	for _, each := range everyFault {
		switch each.name {
		case "leader killed and started again", "Redis killed and restarted empty", "primary restarted (immediate)":
			f.suffer(each)
		}
	}
	f.Stop()
	if len(f.outcomes) != 3 {
		t.Errorf("%d faults, want 3", len(f.outcomes))
	}
	results := f.Queries.Results(t)
	testbed.Measured(t, "queries by result: %v", results)
	if results["hit"] == 0 || results["unproven"] == 0 {
		t.Errorf("the test needs hits, and queries without a proof: %v", results)
	}
	f.Judge(0.05)
	f.JudgeHistories()
	f.report()
}

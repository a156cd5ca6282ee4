package oracle

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"walpurge/dev/testbed"
	"walpurge/test/rig"
)

// faultSeed names the environment variable that sets the seed of
// TestOracleThroughRandomFaults.
const faultSeed = "WALPURGE_FAULT_SEED"

// TestOracleThroughFaults brings about each fault in turn while three proxies
// are at work, and prints how long each of them served nothing from its cache.
// A fault is over when every proxy serves hits again.
func TestOracleThroughFaults(t *testing.T) {
	f := newFaults(t, faultsOptions{proxies: 3, stopped: 10 * time.Second})
	f.LeastHits = 30
	f.Start()
	for _, each := range everyFault {
		if testbed.Short() && each.long {
			continue
		}
		f.suffer(each)
	}
	f.Stop()
	f.Judge(0.05)
	f.JudgeHistories()
	f.report()
}

// TestOracleThroughRandomFaults brings them about in an order and at moments
// that a seed decides, without waiting for what came before to be over.
func TestOracleThroughRandomFaults(t *testing.T) {
	duration, _ := rig.TrialOf(45*time.Second, 0)
	seed := uint64(20240229)
	if text := os.Getenv(faultSeed); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("%s=%q: give a whole number", faultSeed, text)
		}
		seed = n
	}
	rnd := rand.New(rand.NewPCG(seed, 0))
	f := newFaults(t, faultsOptions{proxies: 3})
	f.LeastHits = 30
	f.Start()
	var names []string
	for time.Since(f.Began) < duration {
		each := everyFault[rnd.IntN(len(everyFault))]
		names = append(names, each.name)
		f.stopped = time.Duration(rnd.Int64N(int64(3 * time.Second)))
		f.Down.Store(each.down)
		each.strike(f)
		if each.down { // only until that is over may the origin fail
			f.recovered()
			f.up()
		}
		f.lasts(time.Duration(rnd.Int64N(int64(time.Second))))
	}
	f.recovered()
	f.Stop()
	testbed.Measured(t, "%s=%d: %s", faultSeed, seed, strings.Join(names, ", "))
	f.Judge(0.05)
	f.JudgeHistories()
}

// faults is a trial on proxies and servers of its own, with cables between
// them. The origin, the writers and the test reach the primary by a cable that
// is only ever led to another server.
type faults struct {
	*rig.Trial
	postgres *testbed.Postgres
	redis    *testbed.Redis
	primary  *rig.Cable
	stream   *redis.Client
	listens  *rig.Cable    // of the query cache; nil: there is none
	stopped  time.Duration // how long a process is stopped
	outcomes []outcome
}

type faultsOptions struct {
	proxies int
	queries bool          // the origin has a query cache
	stopped time.Duration // see faults
}

// outcome is what a fault did.
type outcome struct {
	name      string
	took      time.Duration
	leader    time.Duration   // that led, without a hit
	followers []time.Duration // that followed
	epochs    []string        // reasons
	responses int64
	excused   int64
}

func newFaults(t *testing.T, o faultsOptions) *faults {
	t.Helper()
	if testbed.Short() {
		o.stopped = min(o.stopped, 4*time.Second)
	}
	pg := testbed.NewPostgres(t, map[string]string{"wal_sender_timeout": "3s", "wal_keep_size": "32MB"})
	server := testbed.NewRedis(t, "--dbfilename", snapshotFile)
	primary, dbURL := rig.NewCable(t, pg.URL("postgres"))
	f := &faults{postgres: pg, redis: server, primary: primary, stopped: o.stopped}
	options := rig.Options{DBURL: dbURL, Redis: server.URL(), Routes: rig.OracleRoutes, Away: true}
	if o.queries {
		f.listens, options.Listens = rig.NewCable(t, pg.URL("postgres"))
		options.Queries = server.URL()
	}
	r := rig.New(t, options)
	var all []*rig.Member
	for range o.proxies {
		toPostgres, pgURL := rig.NewCable(t, pg.URL("postgres"))
		toRedis, redisURL := rig.NewCable(t, server.URL())
		config := r.Configure(pgURL, redisURL)
		m := rig.Members(r.StartPeer(config))[0]
		m.Config, m.Postgres, m.Redis = config, toPostgres, toRedis
		all = append(all, m)
	}
	for _, m := range all {
		m.Proxy.Load().Ready()
	}
	f.Trial = rig.NewTrial(r, all, rig.MixedCrew)
	t.Cleanup(func() {
		for i, m := range all {
			if p := m.Proxy.Load(); t.Failed() && p != nil {
				t.Logf("what proxy %d said:\n%s", i, strings.Join(p.Logged.Last(60), "\n"))
			}
		}
	})
	f.stream = redis.NewClient(&redis.Options{Addr: strings.TrimSuffix(strings.TrimPrefix(server.URL(), "redis://"), "/0")})
	t.Cleanup(func() { _ = f.stream.Close() })
	return f
}

// suffer brings about one fault and waits until it is over.
func (f *faults) suffer(each fault) {
	f.T.Helper()
	leader := f.leader()
	before := f.epochs()
	responses, excused := f.Responses.Load(), f.Excused.Load()
	for _, m := range f.Members {
		m.Silence()
	}
	began := time.Now()
	f.Down.Store(each.down)
	each.strike(f)
	f.Eventually("another epoch after: "+each.name, func() bool { return len(each.epochs) == 0 || each.perhaps || len(f.newEpochs(before)) > 0 })
	f.recovered()
	o := outcome{name: each.name, took: time.Since(began), responses: f.Responses.Load() - responses, excused: f.Excused.Load() - excused}
	for _, m := range f.Members {
		if m == leader {
			o.leader = m.Silence()
		} else {
			o.followers = append(o.followers, m.Silence())
		}
	}
	o.epochs = f.newEpochs(before)
	for _, reason := range o.epochs {
		if !slices.Contains(each.epochs, reason) {
			f.T.Errorf("%s: an epoch for %q, want %q", each.name, reason, each.epochs)
		}
	}
	f.outcomes = append(f.outcomes, o)
	if each.down {
		f.up()
	}
}

// up ends the time in which the origin may fail. Its pool doesn't ask
// connections that were used within the last second whether they still work.
func (f *faults) up() {
	f.lasts(time.Second)
	f.Down.Store(false)
}

// recovered waits until somebody leads, all are in one epoch, and every proxy
// serves hits.
func (f *faults) recovered() {
	f.T.Helper()
	f.leader()
	f.Eventually("one epoch", func() bool {
		epoch := f.Members[0].Proxy.Load().Status().Position.Epoch
		for _, m := range f.Members {
			if s := m.Proxy.Load().Status(); s.Position.Epoch != epoch || s.Position.Role == "waiting" {
				return false
			}
		}
		return true
	})
	for i, m := range f.Members {
		before := m.Hits.Load()
		f.Eventually(fmt.Sprint("hits at proxy ", i), func() bool { return m.Hits.Load() >= before+5 })
	}
	if f.Queries != nil {
		before := f.Queries.Results(f.T)["hit"]
		f.Eventually("hits of the query cache", func() bool { return f.Queries.Results(f.T)["hit"] >= before+5 })
	}
}

// leader waits until one proxy leads, and returns its place. The query cache may lead as well: it loses the
// slot then.
func (f *faults) leader() (leader *rig.Member) {
	f.T.Helper()
	leading := func() bool {
		for _, m := range f.Members {
			if p := m.Proxy.Load(); p != nil && p.Leads() {
				leader = m
			}
		}
		return leader != nil
	}
	if f.listens != nil && !leading() {
		f.listens.Cut()
		defer f.listens.Mend()
	}
	f.Eventually("a leader", leading)
	return leader
}

// follower is the place of a proxy that doesn't lead.
func (f *faults) follower() *rig.Member {
	f.T.Helper()
	leader := f.leader()
	for _, m := range f.Members {
		if m != leader {
			return m
		}
	}
	panic("one proxy alone")
}

// epochs counts the epochs of each proxy, by reason.
func (f *faults) epochs() map[*rig.Rig]map[string]float64 {
	all := map[*rig.Rig]map[string]float64{}
	for _, m := range f.Members {
		p := m.Proxy.Load()
		all[p] = map[string]float64{}
		for labels, n := range p.Samples("walpurge_epochs_total") {
			_, reason, _ := strings.Cut(labels, `reason="`)
			all[p][strings.TrimSuffix(reason, `"}`)] = n
		}
	}
	return all
}

// newEpochs lists why proxies have entered an epoch since then, each reason
// once. A process that has been started since had to enter one.
func (f *faults) newEpochs(before map[*rig.Rig]map[string]float64) []string {
	reasons := map[string]bool{}
	for p, counts := range f.epochs() {
		old, here := before[p]
		for reason, n := range counts {
			if n > old[reason] && (here || reason != "start") {
				reasons[reason] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(reasons))
}

// report prints the table.
func (f *faults) report() {
	var b strings.Builder
	fmt.Fprintf(&b, "the longest time without a hit, 0 stale\n%-44s %8s %8s  %-17s %-13s %9s %7s", "fault", "over in", "leader", "followers", "epoch", "responses", "origin")
	for _, o := range f.outcomes {
		var followers []string
		for _, d := range o.followers {
			followers = append(followers, seconds(d))
		}
		fmt.Fprintf(&b, "\n%-44s %8s %8s  %-17s %-13s %9d %7d", o.name, seconds(o.took), seconds(o.leader), strings.Join(followers, " "),
			cmp.Or(strings.Join(o.epochs, " "), "the same"), o.responses, o.excused)
	}
	testbed.Measured(f.T, "%s", &b)
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }

// lasts lets time pass: how long something lasts is part of some faults.
func (f *faults) lasts(d time.Duration) {
	select {
	case <-time.After(d):
	case <-f.T.Context().Done():
	}
}

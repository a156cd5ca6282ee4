package cdc

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"

	"walpurge/dev/testbed"
	"walpurge/internal/cdc/catalogue"
	"walpurge/internal/coherence"
	"walpurge/internal/relay"
)

// The relay's rhythm, as package relay has it.
const (
	keyframeEvery = 128 // entries
	heartbeat     = 10 * time.Second
	markPause     = 5 * time.Millisecond
)

// fleet is several listeners, each with a guard of its own, on one slot and
// one relay.
type fleet struct {
	*client
	t     testing.TB
	cfg   Config
	redis redis.UniversalClient
	all   []*rig
}

func relayClient(t testing.TB, url string) redis.UniversalClient {
	t.Helper()
	c, err := relay.NewClient(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// newFleet makes the configuration; join starts listeners.
func newFleet(t testing.TB, dbURL, redisURL string) *fleet {
	t.Helper()
	c := newClient(t, dbURL)
	c.exec("CREATE TABLE IF NOT EXISTS listings (id int PRIMARY KEY, city text, price numeric, note text)",
		"ALTER TABLE listings REPLICA IDENTITY FULL")
	cfg := config(t, dbURL, catalogue.Watch{Table: "public.listings", Columns: []string{"city", "id", "price"}, Conditions: []string{"city", "id"}})
	cfg.Relay = &relay.Config{Client: relayClient(t, redisURL), Namespace: "test-" + strings.ReplaceAll(cfg.Slot, "_", "-") + fmt.Sprint(time.Now().UnixNano())}
	return &fleet{client: c, t: t, cfg: cfg, redis: cfg.Relay.Client}
}

// join starts one more listener and waits until it is proven fresh.
func (f *fleet) join(change ...func(*Config)) *rig {
	f.t.Helper()
	cfg := f.cfg
	shared := *cfg.Relay
	cfg.Relay, cfg.Now = &shared, clock()
	for _, c := range change {
		c(&cfg)
	}
	r := start(f.t, cfg)
	f.all = append(f.all, r)
	return r
}

func (f *fleet) ready(rigs ...*rig) {
	f.t.Helper()
	for _, r := range rigs {
		eventually(f.t, "the proof of freshness", func() bool { return r.guard.Proven() != 0 })
	}
}

// role waits until a listener has it.
func (f *fleet) role(r *rig, want string) {
	f.t.Helper()
	eventually(f.t, "the role "+want, func() bool { return r.listener.Status().Role == want })
}

// agree waits until every listener has settled all that was committed so far.
func (f *fleet) agree(rigs ...*rig) {
	f.t.Helper()
	at := f.position()
	for i, r := range rigs {
		eventually(f.t, fmt.Sprintf("listener %d settles %s", i, at), func() bool { return r.guard.Watermark() >= at })
	}
}

func (f *fleet) position() coherence.LSN {
	f.t.Helper()
	at, err := coherence.ParseLSN(f.text("SELECT pg_current_wal_flush_lsn()"))
	if err != nil {
		f.t.Fatal(err)
	}
	return at
}

// stream is the relay, by a client that nobody else has.
func (f *fleet) stream() *relay.Stream {
	f.t.Helper()
	conf, err := pgx.ParseConfig(f.cfg.URL)
	if err != nil {
		f.t.Fatal(err)
	}
	return (&relay.Config{Client: f.redis, Namespace: f.cfg.Relay.Namespace}).Stream(conf.Database, f.cfg.Slot)
}

// cachedPage is a cached response of a test.
type cachedPage struct {
	handle coherence.Handle
	causes chan coherence.Cause
}

func (p *cachedPage) Evicted(c coherence.Cause) { p.causes <- c }

// cache stores a page that depends on the listings of a city.
func (r *rig) cache(city string) *cachedPage {
	r.t.Helper()
	p := &cachedPage{causes: make(chan coherence.Cause, 1)}
	deps := r.cityDeps(city)
	eventually(r.t, "the page of "+city+" is admitted", func() bool {
		p.handle = coherence.Handle{}
		ok := r.guard.Open(&p.handle, p, deps) && r.guard.Admit(&p.handle, p)
		if !ok {
			r.guard.Close(&p.handle)
			select {
			case <-p.causes:
			default:
			}
		}
		return ok
	})
	return p
}

// cityTemplate is a dependency on the listings of one city.
func cityTemplate(g *coherence.Guard) *coherence.Template {
	table, _ := g.Table("public.listings")
	return &coherence.Template{Table: table, Equal: []coherence.Equal{{Column: g.Tables()[table].Column("city")}}}
}

func (r *rig) cityDeps(city string) []coherence.Dependency {
	return r.guard.Bind(cityTemplate(r.guard),
		[]coherence.Operand{{Present: true, Values: []string{city}}}, nil)
}

func (f *fleet) sameLines(rigs ...*rig) {
	f.t.Helper()
	want := rigs[0].lines()
	for i, r := range rigs[1:] {
		if got := r.lines(); !slices.Equal(got, want) {
			f.t.Errorf("listener %d saw\n%s\nwant\n%s", i+1, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}

// led starts a leader and n followers.
func led(t testing.TB, n int) (f *fleet, leader *rig, followers []*rig) {
	t.Helper()
	f = newFleet(t, testbed.Database(t), testbed.SharedRedis(t))
	leader = f.join()
	f.ready(leader)
	f.role(leader, roleLeader)
	for range n {
		followers = append(followers, f.join())
	}
	f.ready(followers...)
	return f, leader, followers
}

// messages reads the whole stream.
func (f *fleet) messages() (all []relay.Message) {
	f.t.Helper()
	s, last := f.stream(), uint64(0)
	for {
		found, err := s.Read(context.Background(), last, 0)
		if err != nil {
			f.t.Fatal(err)
		}
		if len(found) == 0 {
			return all
		}
		all = append(all, found...)
		last = all[len(all)-1].Seq
	}
}

// entries is what the messages say.
func (f *fleet) entries() []*relay.Entry {
	f.t.Helper()
	var list []*relay.Entry
	for _, m := range f.messages() {
		e, err := m.Entry()
		if err != nil {
			f.t.Fatal(err)
		}
		list = append(list, e)
	}
	return list
}

func redisAddress(f *fleet) string { return f.redis.(*redis.Client).Options().Addr }

// settled is the position up to which everything is visible, and in the relay.
func (r *rig) settled() coherence.LSN {
	f := r.listener.follower
	f.mu.Lock()
	defer f.mu.Unlock()
	return (&progress{shared: f.shared, writer: f.mu.writer}).settled()
}

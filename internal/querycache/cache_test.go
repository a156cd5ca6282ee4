package querycache

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"walpurge/dev/testbed"
	"walpurge/internal/coherence"
)

func TestMain(m *testing.M) { testbed.Main(m) }

// rig is a query over a table of homes, a guard that is fed by hand, and Redis.
type rig struct {
	t     testing.TB
	guard *coherence.Guard
	cache *Cache
	get   func(context.Context, string) ([]string, error)
	lsn   coherence.LSN
	xid   uint32
	now   atomic.Int64

	answer []string // what a load gives
	err    error
	loads  int
	during func() // while a load is on its way
}

const epoch = 7

func newRig(t testing.TB, redisURL string, change func(*Options)) *rig {
	t.Helper()
	r := &rig{t: t, lsn: 1000, xid: 700, answer: []string{"old"}}
	r.now.Store(1)
	var err error
	r.guard, err = coherence.New(coherence.Config{FenceBits: 12, Tables: []coherence.Table{
		{Name: "public.homes", Columns: []coherence.Column{{Name: "city", Kind: coherence.Text}, {Name: "price", Kind: coherence.Numeric}}},
		{Name: "public.owners", Columns: []coherence.Column{{Name: "id", Kind: coherence.Integer}, {Name: "name", Kind: coherence.Text}}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	client, err := RedisClient(redisURL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	o := Options{
		Guard: r.guard, Redis: client, Namespace: fmt.Sprintf("%s-%d", t.Name(), time.Now().UnixNano()), MaxLag: time.Second,
		Now: func() coherence.Nanos { return coherence.Nanos(r.now.Load()) }, Registry: prometheus.NewRegistry(),
	}
	if change != nil {
		change(&o)
	}
	if r.cache, err = New(o); err != nil {
		t.Fatal(err)
	}
	r.get, err = Attach(r.cache, Query[string, []string]{
		Name: "homes", Key: func(city string) string { return city },
		Depends: []Source[string]{{Table: "public.homes", Where: []Where[string]{{Column: "city", Is: Is}}}},
		Load: func(context.Context, string) ([]string, error) {
			r.loads++
			answer := r.answer
			if r.during != nil {
				r.during()
			}
			return answer, r.err
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	r.guard.Reset(epoch, r.lsn)
	r.prove()
	return r
}

func (r *rig) prove() { r.guard.Probe(r.lsn, coherence.Nanos(r.now.Load())) }

// commit changes a home in city, and rename an owner; settle makes it visible.
func (r *rig) commit(city string) { r.insert(0, city, "1") }
func (r *rig) rename(id int)      { r.insert(1, strconv.Itoa(id), "x") }

func (r *rig) insert(table coherence.TableID, row ...string) {
	tx := coherence.NewTransaction(r.guard.Tables(), 100)
	r.xid++
	tx.Begin(r.xid, r.lsn+10, time.Now())
	var values []coherence.Value
	for _, text := range row {
		values = append(values, coherence.Value{State: coherence.Known, Text: []byte(text)})
	}
	tx.Append(table, coherence.Insert, nil, values, 0)
	r.lsn += 100
	tx.Commit(r.lsn)
	r.guard.Apply(tx)
}

func (r *rig) settle() { r.guard.SettleTo(r.lsn) }

func (r *rig) counted(result result) float64 {
	var m dto.Metric
	if err := r.cache.requests.WithLabelValues("homes", string(result)).Write(&m); err != nil {
		r.t.Fatal(err)
	}
	return m.GetCounter().GetValue()
}

// want asks once, and wants that answer and that result.
func (r *rig) want(ctx context.Context, answer string, result result) {
	r.t.Helper()
	before := r.counted(result)
	got, err := r.get(ctx, "Lagos")
	if err != nil || len(got) != 1 || got[0] != answer {
		r.t.Errorf("got %v, %v; want %s", got, err, answer)
	}
	if r.counted(result) != before+1 {
		r.t.Errorf("it isn't counted as %s", result)
	}
}

func needing(text ...string) context.Context {
	return WithNeeds(context.Background(), http.Header{coherence.NeedsField: text})
}

func TestResultIsUsedUntilItsRowsChange(t *testing.T) {
	r := newRig(t, testbed.SharedRedis(t), nil)
	ctx := t.Context()
	r.want(ctx, "old", absent)
	r.want(ctx, "old", hit)
	r.commit("Accra")
	r.settle()
	r.want(ctx, "old", hit) // another city's
	r.answer = []string{"new"}
	r.commit("Lagos")
	r.want(ctx, "new", outdated) // pending: it may be the old one, and isn't stored
	r.settle()
	r.want(ctx, "new", outdated)
	r.want(ctx, "new", hit)
	r.guard.Reset(epoch+1, r.lsn)
	r.prove()
	r.want(ctx, "new", outdated)
	r.want(ctx, "new", hit)
}

// The load reads the old row, the change is applied and settled, and then the
// load comes back.
func TestSlowLoadIsNotUsedAfterTheChange(t *testing.T) {
	r := newRig(t, testbed.SharedRedis(t), nil)
	r.during = func() {
		r.during = nil
		r.answer = []string{"new"}
		r.commit("Lagos")
		r.settle()
	}
	r.want(t.Context(), "old", absent) // who asked before the change may have it
	r.want(t.Context(), "new", absent)
	r.want(t.Context(), "new", hit)
}

func TestWithoutProofTheDatabaseIsAsked(t *testing.T) {
	r := newRig(t, testbed.SharedRedis(t), nil)
	r.want(t.Context(), "old", absent)
	r.now.Store(int64(time.Second) + 1) // as old as allowed
	r.want(t.Context(), "old", hit)
	r.now.Add(1)
	r.want(t.Context(), "old", unproven)
	r.want(needing(r.guard.Position().String()), "old", unproven) // the field asks for more, never for less
	r.prove()
	r.want(t.Context(), "old", hit)
	r.guard.Unprove()
	r.want(t.Context(), "old", unproven)
}

func TestNeedsOfARequest(t *testing.T) {
	r := newRig(t, testbed.SharedRedis(t), nil)
	r.want(t.Context(), "old", absent)
	at := func(e coherence.Epoch, lsn coherence.LSN) string {
		return coherence.Position{Epoch: e, LSN: lsn}.String()
	}
	for text, want := range map[string]result{
		at(epoch, 0):         hit,
		at(epoch, r.lsn-1):   hit,
		at(epoch, r.lsn):     hit,
		at(epoch, r.lsn+1):   behind,
		at(epoch-1, 0):       behind,
		at(epoch+1, 0):       behind,
		at(0, 0):             bypass,
		"":                   bypass,
		"0/0":                bypass,
		at(epoch, 0) + ", x": bypass,
	} {
		r.want(needing(text), "old", want)
	}
	r.want(needing(at(epoch, 0), at(epoch, 0)), "old", bypass)
	r.want(WithNeeds(t.Context(), http.Header{"Cache-Control": {"max-age=1, No-Cache"}}), "old", bypass)
	r.guard.Advance(r.lsn + 1)
	r.want(needing(at(epoch, r.lsn+1)), "old", hit) // it survived all up to there
}

func TestRedisDownFailsNoQuery(t *testing.T) {
	server := testbed.NewRedis(t)
	r := newRig(t, server.URL(), nil)
	r.want(t.Context(), "old", absent)
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	r.answer = []string{"fresh"}
	for range 20 {
		if got, err := r.get(t.Context(), "Lagos"); err != nil || got[0] != "fresh" {
			t.Fatal(got, err)
		}
	}
	if n := r.counted(skipped); n == 0 {
		t.Error("a dead Redis is asked each time")
	}
	if err := server.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(30 * time.Second); r.counted(hit) == 0; {
		if _, err := r.get(t.Context(), "Lagos"); err != nil || time.Now().After(deadline) {
			t.Fatalf("Redis isn't used again: %v", err)
		}
	}
}

func TestKeysAreNamedExpireAndAreBounded(t *testing.T) {
	r := newRig(t, testbed.SharedRedis(t), func(o *Options) { o.MaxValue = 100 })
	ctx, client := t.Context(), r.cache.o.Redis
	r.want(ctx, "old", absent)
	keys, err := client.Keys(ctx, r.cache.o.Namespace+":query:*").Result()
	if err != nil || len(keys) != 1 {
		t.Fatal(keys, err)
	}
	if ttl := client.TTL(ctx, keys[0]).Val(); ttl <= 0 || ttl > time.Hour {
		t.Errorf("it lives for %s", ttl)
	}
	good := client.Get(ctx, keys[0]).Val()
	for _, bad := range []string{"", "garbage", good[:len(good)-1], good[:30] + "X" + good[31:], good + "x", strings.Repeat("\x00", 40)} {
		client.Set(ctx, keys[0], bad, time.Minute)
		r.want(ctx, "old", malformed)
	}
	other := name(r.cache.o.Namespace, "homes\x00"+"slice string \x00Accra")
	client.Set(ctx, other, good, time.Minute) // a good value under another key's name
	if got, err := r.get(ctx, "Accra"); err != nil || got[0] != "old" || r.loads != 8 {
		t.Errorf("%v %v after %d loads", got, err, r.loads)
	}
	client.Del(ctx, keys[0])
	r.answer = []string{strings.Repeat("x", 100)}
	r.want(ctx, r.answer[0], absent)
	r.want(ctx, r.answer[0], absent) // too large to be kept
}

func TestFailuresAreNotKept(t *testing.T) {
	r := newRig(t, testbed.SharedRedis(t), nil)
	r.err = errors.New("no")
	if _, err := r.get(t.Context(), "Lagos"); !errors.Is(err, r.err) {
		t.Fatal(err)
	}
	if n := r.guard.Handles(); n != 0 {
		t.Errorf("%d handles are left open", n)
	}
	r.err = nil
	r.want(t.Context(), "old", absent)
	func() {
		r.during = func() { panic("load") }
		defer func() { _ = recover() }()
		_, _ = r.get(needing(coherence.Position{Epoch: epoch, LSN: r.lsn + 1}.String()), "Lagos")
	}()
	r.during = nil
	if n := r.guard.Handles(); n != 0 {
		t.Errorf("%d handles are left open by a panic", n)
	}
	r.want(t.Context(), "old", hit)
}

package cdc

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"walpurge/dev/testbed"
	"walpurge/internal/coherence"
)

// logbook is where a listener's log goes.
type logbook struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *logbook) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

// count is in how many lines the words are.
func (b *logbook) count(words string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := 0
	for line := range strings.Lines(b.text.String()) {
		if strings.Contains(line, words) {
			n++
		}
	}
	return n
}

func (b *logbook) logger() *slog.Logger { return slog.New(slog.NewTextHandler(b, nil)) }

// TestTwoClustersWithOneStream: two clusters whose databases, slots and
// namespaces have the same names write one stream. Neither believes the
// other's positions, each says once what is wrong, and one that is left alone
// goes on.
func TestTwoClustersWithOneStream(t *testing.T) {
	near, far := testbed.NewPostgres(t, nil), testbed.NewPostgres(t, nil)
	f := newFleet(t, near.URL("postgres"), testbed.SharedRedis(t))
	g := newFleet(t, far.URL("postgres"), testbed.SharedRedis(t))
	g.cfg.Relay = f.cfg.Relay
	// A position tells where it comes from.
	for range 20 {
		g.exec("SELECT pg_logical_emit_message(false, 'x', 'y'), pg_switch_wal()")
	}
	boundary := g.position()
	var logs [2]logbook
	join := func(i int, f *fleet) *rig {
		return f.join(func(c *Config) {
			c.Relay.Client, c.Logger = relayClient(t, testbed.SharedRedis(t)), logs[i].logger()
		})
	}
	a := join(0, f)
	f.ready(a)
	b := join(1, g)

	believed := 0
	check := func(r *rig, own func(coherence.LSN) bool) {
		epoch, proven := r.guard.Epoch(), r.guard.Proven()
		at := r.guard.Applied()
		if proven == 0 || r.guard.Proven() == 0 || r.guard.Epoch() != epoch {
			return
		}
		if believed++; !own(at) {
			t.Errorf("proven fresh at %s, which is the other cluster's", at)
		}
	}
	const foreign = "the relay is that of another database cluster"
	n := 0
	eventually(t, "both have led several times and have said what is wrong", func() bool {
		if n++; n%20 == 0 {
			f.exec(fmt.Sprintf("INSERT INTO listings VALUES (%d, 'near', 1, NULL)", n))
			g.exec(fmt.Sprintf("INSERT INTO listings VALUES (%d, 'far', 1, NULL)", n))
		}
		check(a, func(at coherence.LSN) bool { return at < boundary })
		check(b, func(at coherence.LSN) bool { return at >= boundary })
		return len(a.epochs()) > 4 && len(b.epochs()) > 4 && logs[0].count(foreign) > 0 && logs[1].count(foreign) > 0
	})
	testbed.Measured(t, "%d proofs looked at while two clusters wrote one stream: none of the other's", believed)
	if believed == 0 {
		t.Error("neither was ever proven fresh, so nothing was shown")
	}
	for i := range logs {
		if n := logs[i].count(foreign); n != 1 {
			t.Errorf("said %d times what is wrong, want once", n)
		}
	}
	if err := b.stop(); err != nil {
		t.Fatal(err)
	}
	f.role(a, roleLeader)
	f.ready(a)
	page := a.cache("near")
	f.exec("INSERT INTO listings VALUES (-1, 'near', 1, NULL)")
	f.agree(a)
	if page.handle.Live() {
		t.Error("the page outlived a change")
	}
}

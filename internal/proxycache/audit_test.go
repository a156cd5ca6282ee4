package proxycache

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"walpurge/internal/coherence"
)

// changeLog is where a proxy's log goes.
type changeLog struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *changeLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *changeLog) line(has string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.text.String()) {
		if strings.Contains(line, has) {
			return line
		}
	}
	return ""
}

func (r *rig) audited(result string) float64 {
	r.t.Helper()
	families, err := r.proxy.Registry().Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "walpurge_audit_total" && m.GetLabel()[0].GetValue() == result {
				return m.GetCounter().GetValue()
			}
		}
	}
	return 0
}

// A finding names what has changed since the response was fetched, first of
// all in the tables that the route doesn't declare.
func TestAuditNamesTheChangesSince(t *testing.T) {
	var log changeLog
	r := newRig(t, func(r *rig, o *Options) {
		o.Audit, o.Logger = 1, slog.New(slog.NewTextHandler(&log, nil))
		o.Positions.Ask = func(context.Context) (coherence.Position, error) {
			return coherence.Position{Epoch: r.guard.Epoch(), LSN: r.guard.Applied()}, nil
		}
	})
	r.proxy.Changed("public.agents", "update", 9, 1000) // before
	r.say("one")
	r.get("/api/listings/1")
	r.commit(nil, &row{"2", "Lagos", "1"})
	r.proxy.Changed("public.agents", "update", 1, 0x500)
	r.proxy.Changed("public.agents", "update", 2, 0x600)
	r.proxy.Changed("public.agents", "delete", 3, 0x700)
	r.proxy.Changed("public.listings", "insert", 1, 0x800)
	r.say("two")
	const found = "a hit was stale"
	r.eventually("the audit reports", func() bool {
		r.get("/api/listings/1")
		return log.line(found) != ""
	})
	line := log.line(found)
	for _, want := range []string{
		`url=/api/listings/1 route=/api/listings/{id} depends_on="[listings where id = path.id]"`,
		`changed_undeclared="[public.agents: delete 3 at 0/700 public.agents: update 3 in 2 transactions from 0/500 to 0/600]"`,
		`changed_declared="[public.listings: insert 1 at 0/800]"`, `asof=0/3E8`,
	} {
		if !strings.Contains(line, want) {
			t.Errorf("%s\nlacks %s", line, want)
		}
	}
}

// A page that is purged once the log has been followed to the position of the
// origin's answer was no stale hit, and one that differs each time says
// nothing.
func TestAuditTellsStaleFromChangedAndUnstable(t *testing.T) {
	r := newRig(t, func(_ *rig, o *Options) {
		o.Audit = 1
		o.Positions.Ask = func(context.Context) (coherence.Position, error) { return coherence.Position{Epoch: 7, LSN: 1020}, nil } // the end of the first commit
	})
	r.say("one")
	r.get("/api/listings/1")
	r.say("two")
	r.want(r.get("/api/listings/1"), "one", "walpurge; hit")
	r.eventually("the audit has asked", func() bool { return r.asked() == 2 })
	if r.audited("stale")+r.audited("changed") != 0 {
		t.Error("a verdict before the log has been followed")
	}
	r.commit(&row{"1", "Lagos", "1"}, &row{"1", "Lagos", "2"})
	r.eventually("it was purged", func() bool { return r.audited("changed") == 1 })

	r.get("/api/listings/2")
	r.get("/api/listings/2")
	r.eventually("both say the same", func() bool { return r.audited("ok") == 1 })

	var n atomic.Int64
	r.answer(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, n.Add(1)) })
	r.get("/api/listings/3")
	r.get("/api/listings/3")
	r.eventually("it differs each time", func() bool { return r.audited("unstable") == 1 })
	if r.audited("stale") != 0 {
		t.Errorf("%v counted as stale", r.audited("stale"))
	}

	// Hits of the slow path are audited, too.
	r.say("new")
	r.get("/api/listings/2", "Cache-Control: max-stale=1")
	r.eventually("the page is stale", func() bool { return r.audited("stale") == 1 })
}

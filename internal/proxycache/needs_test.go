package proxycache

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"walpurge/internal/coherence"
)

// needsSeen notes what the proxy tells the origin that a response needs.
type needsSeen struct {
	mu   sync.Mutex
	said []string
}

func (n *needsSeen) take() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := strings.Join(n.said, " ")
	n.said = nil
	return s
}

func (n *needsSeen) serve(w http.ResponseWriter, req *http.Request) {
	n.mu.Lock()
	if values, ok := req.Header[coherence.NeedsField]; ok {
		n.said = append(n.said, strings.Join(values, "&"))
	} else {
		n.said = append(n.said, "none")
	}
	n.mu.Unlock()
	w.Header().Set("Cache-Control", "max-age=60")
	_, _ = io.WriteString(w, "ok")
}

const (
	theDatabase = "0000000000000000.0/0" // nothing covers it
	forged      = "Walpurge-Needs: 0000000000000007.0/1"
)

func TestFillNeedsWhatIsApplied(t *testing.T) {
	r := newRig(t, nil)
	n := &needsSeen{}
	r.handler = n.serve
	ask := func(want, path string, header ...string) {
		t.Helper()
		r.get(path, header...)
		if got := n.take(); got != want {
			t.Errorf("%s %v: the origin was told %q, want %q", path, header, got, want)
		}
	}
	at := func() string { return r.guard.Position().String() }
	ask(at(), "/api/listings/1")
	ask("", "/api/listings/1", forged) // a hit: it is in no key
	ask(at(), "/api/listings/2", forged)
	ask(theDatabase, "/api/listings/3", forged, "Connection: Walpurge-Needs") // such a request is passed

	// A commit that is applied and not yet visible: asof stays below it, what is needed doesn't.
	tx := coherence.NewTransaction(r.guard.Tables(), 100)
	tx.Begin(9000, r.lsn+10, time.Now())
	tx.Whole(0)
	tx.Commit(r.lsn + 100)
	r.guard.Apply(tx)
	if r.guard.Watermark() >= r.guard.Applied() {
		t.Fatal("it isn't pending")
	}
	ask(at(), "/api/listings/1")
	r.guard.SettleTo(r.lsn + 100)
	r.lsn += 100
	r.prove()

	// What is passed through for lack of anything that may be used wants the database.
	ask(theDatabase, "/api/listings/1", "Cache-Control: no-store", forged)
	ask(theDatabase, "/api/listings/1", `If-Match: "x"`)
	r.guard.Unprove()
	ask(theDatabase, "/api/listings/9")
	ask(theDatabase, "/api/listings/9", "Walpurge-Position: "+at()) // before the answer to a proof
}

func TestRoutesWithoutDependenciesNeedWhatTheClientCarries(t *testing.T) {
	r := newRig(t, nil)
	n := &needsSeen{}
	r.handler = n.serve
	for header, want := range map[string]string{
		"X-A: b": "none",
		forged:   "none",
		"Walpurge-Position: 0000000000000007.0/300": "0000000000000007.0/300",
		"Walpurge-Position: 0000000000000006.0/300": theDatabase,
	} {
		for _, path := range []string{"/plain/" + strings.ReplaceAll(header, " ", ""), "/nowhere/" + strings.ReplaceAll(header, " ", "")} {
			r.get(path, header)
			if got := n.take(); got != want {
				t.Errorf("%s with %s: the origin was told %q, want %q", path, header, got, want)
			}
		}
	}
	r.do("POST", "/plain/1", strings.NewReader("x"))
	if got := n.take(); got != theDatabase {
		t.Errorf("POST: the origin was told %q: it reads what it has written", got)
	}
}

func TestStrictFillNeedsWhatItsProofCovers(t *testing.T) {
	var r *rig
	r = newRig(t, func(_ *rig, o *Options) {
		o.Routes[0].Strict = true
		o.Prove = func(context.Context, coherence.Nanos) error {
			r.lsn += 50
			r.guard.Advance(r.lsn)
			r.prove()
			return nil
		}
	})
	n := &needsSeen{}
	r.handler = n.serve
	before := r.lsn
	r.get("/api/listings/1")
	if got, want := n.take(), (coherence.Position{Epoch: 7, LSN: before + 50}).String(); got != want {
		t.Errorf("the origin was told %q, want %q", got, want)
	}
}

// An audit compares with the database, not with another cache.
func TestAuditWantsTheDatabase(t *testing.T) {
	r := newRig(t, func(r *rig, o *Options) {
		o.Audit = 1
		o.Positions.Ask = func(context.Context) (coherence.Position, error) { return r.guard.Position(), nil }
	})
	n := &needsSeen{}
	r.handler = n.serve
	r.get("/api/listings/1")
	n.take()
	r.get("/api/listings/1")
	var got string
	r.eventually("it is audited", func() bool { got += n.take(); return got != "" })
	if !strings.HasPrefix(got, theDatabase) {
		t.Errorf("the origin was told %q", got)
	}
}

// Without a database the field means nothing here and passes through.
func TestPlainProxyLeavesNeedsAlone(t *testing.T) {
	r := newRig(t, plainHTTP)
	n := &needsSeen{}
	r.handler = n.serve
	r.get("/a", forged)
	r.get("/b")
	if got := n.take(); got != "0000000000000007.0/1 none" {
		t.Errorf("the origin was told %q", got)
	}
}

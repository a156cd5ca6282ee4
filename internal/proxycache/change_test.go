package proxycache

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"walpurge/internal/coherence"
)

// staleRig is a rig whose detail route shows a response for two more seconds
// after its row has changed, with one response stored.
func staleRig(t *testing.T) *rig {
	r := newRig(t, func(_ *rig, o *Options) { o.Routes[0].StaleOnChange, o.Positions.Cookie = 2*time.Second, "at" })
	r.say("old")
	r.get("/api/listings/1")
	r.want(r.get("/api/listings/1"), "old", "walpurge; hit; ttl=35")
	return r
}

func TestChangedResponseIsShownWhileOneRequestFetchesTheNewOne(t *testing.T) {
	r := staleRig(t)
	g := newGate()
	r.answer(func(w http.ResponseWriter, _ *http.Request) {
		g.pass()
		_, _ = io.WriteString(w, "new")
	})
	asked := r.asked()
	r.commit(&row{"1", "Lagos", "1"}, &row{"1", "Lagos", "2"})
	r.prove()
	for range 5 {
		r.want(r.get("/api/listings/1"), "old", "walpurge; hit; ttl=-1; detail=change")
	}
	r.eventually("the new one is asked for", func() bool { return r.asked() > asked })
	r.want(r.get("/api/listings/1"), "old", "walpurge; hit; ttl=-1; detail=change")
	close(g.open)
	r.eventually("the new one is stored", func() bool { return r.get("/api/listings/1").body == "new" })
	if n := r.asked() - asked; n != 1 {
		t.Errorf("%d requests for the new one", n)
	}
	r.want(r.get("/api/listings/1"), "new", "walpurge; hit; ttl=35")
}

func TestChangedResponseIsNotShownBeyondItsLimit(t *testing.T) {
	r := staleRig(t)
	g := newGate() // the refresh doesn't end
	r.answer(func(w http.ResponseWriter, _ *http.Request) {
		g.pass()
		_, _ = io.WriteString(w, "new")
	})
	r.commit(&row{"1", "Lagos", "1"}, &row{"1", "Lagos", "2"})
	r.prove()
	r.want(r.get("/api/listings/1"), "old", "walpurge; hit; ttl=-1; detail=change")
	r.now.Add(int64(1900 * time.Millisecond))
	// Another change doesn't begin the time anew.
	r.commit(&row{"1", "Lagos", "2"}, &row{"1", "Lagos", "3"})
	r.now.Add(int64(200 * time.Millisecond))
	r.prove()
	got := make(chan reply, 1)
	go func() {
		rep, err := r.try("GET", "/api/listings/1", nil)
		if err != nil {
			t.Error(err)
		}
		got <- rep
	}()
	close(g.open)
	if rep := <-got; rep.body != "new" {
		t.Fatal(rep.body, rep.cacheStatus())
	}
}

func TestChangedResponseIsNotForThoseWhoWantAnother(t *testing.T) {
	for name, ask := range map[string]func(*rig) []string{
		"a position of a write": func(r *rig) []string {
			return []string{"Walpurge-Position: " + coherence.Position{Epoch: r.guard.Epoch(), LSN: r.guard.Applied()}.String()}
		},
		"a position in a cookie": func(r *rig) []string {
			return []string{"Cookie: at=" + coherence.Position{Epoch: r.guard.Epoch(), LSN: r.guard.Applied()}.String()}
		},
		"a position of long ago": func(r *rig) []string {
			return []string{"Walpurge-Position: " + coherence.Position{Epoch: r.guard.Epoch(), LSN: 1}.String()}
		},
		"no-cache":    func(*rig) []string { return []string{"Cache-Control: no-cache"} },
		"max-age":     func(*rig) []string { return []string{"Cache-Control: max-age=60"} },
		"credentials": func(*rig) []string { return []string{"Authorization: x"} },
	} {
		t.Run(name, func(t *testing.T) {
			r := staleRig(t)
			r.say("new")
			r.commit(&row{"1", "Lagos", "1"}, &row{"1", "Lagos", "2"})
			r.prove()
			if got := r.get("/api/listings/1", ask(r)...); got.body != "new" {
				t.Fatal(got.body, got.cacheStatus())
			}
		})
	}
}

func TestChangedResponseIsNotShownWithoutProofOrInAnotherEpoch(t *testing.T) {
	for name, end := range map[string]func(*rig){
		"unproven":  func(r *rig) { r.now.Add(int64(500 * time.Millisecond)) },
		"new epoch": func(r *rig) { r.guard.Reset(8, r.lsn+1000); r.prove() },
		"a purge by hand": func(r *rig) {
			r.say("old", `Cache-Groups: "g"`)
			r.get("/api/listings/2")
			tx := coherence.NewTransaction(testTables, 1000)
			r.xid++
			tx.Begin(r.xid, r.lsn+10, time.Now())
			tx.Groups = append(tx.Groups, "g")
			tx.Commit(r.lsn + 20)
			r.lsn += 100
			r.guard.Apply(tx)
			r.settle()
			r.prove()
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, func(_ *rig, o *Options) {
				o.Routes[0].StaleOnChange = 2 * time.Second
				o.Routes[0].MaxLag = 400 * time.Millisecond
			})
			r.say("old")
			r.prove()
			r.get("/api/listings/1")
			r.commit(&row{"1", "Lagos", "1"}, &row{"1", "Lagos", "2"})
			r.prove()
			end(r)
			r.say("new")
			path := "/api/listings/1"
			if strings.HasPrefix(name, "a purge") {
				path = "/api/listings/2"
			}
			if got := r.get(path); got.body != "new" {
				t.Fatal(got.body, got.cacheStatus())
			}
		})
	}
}

func TestServingStaleAfterAChangeIsChecked(t *testing.T) {
	r := newRig(t, nil)
	for _, change := range []func(*Options){
		func(o *Options) { o.Routes[2].StaleOnChange = time.Second },
		func(o *Options) { o.Routes[0].StaleOnChange, o.Routes[0].Strict = time.Second, true },
	} {
		o := r.proxy.opt
		o.Routes = testRoutes()
		change(&o)
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), "stale") {
			t.Error(err)
		}
	}
}

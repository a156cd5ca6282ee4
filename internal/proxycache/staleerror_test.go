package proxycache

import (
	"net/http"
	"testing"
	"time"
)

func TestRFC5861Section4StaleIfErrorInRequests(t *testing.T) {
	for _, c := range []struct {
		name, Record, ask string
		over              time.Duration // past the lifetime
		failure           int           // 0: the connection
		stale             bool
	}{
		{"an error", "max-age=60", "stale-if-error=60", 30 * time.Second, 500, true},
		{"503", "max-age=60", "stale-if-error=60", 30 * time.Second, 503, true},
		{"another status", "max-age=60", "stale-if-error=60", 30 * time.Second, 501, false},
		{"nothing said", "max-age=60", "foo", 30 * time.Second, 500, false},
		{"too late", "max-age=60", "stale-if-error=10", 30 * time.Second, 500, false},
		{"longer than the response's", "max-age=60, stale-if-error=10", "stale-if-error=60", 30 * time.Second, 500, true},
		{"shorter than the response's", "max-age=60, stale-if-error=60", "stale-if-error=10", 30 * time.Second, 500, true},
		{"forbidden by the origin", "max-age=60, must-revalidate", "stale-if-error=60", 30 * time.Second, 500, false},
		{"forbidden by s-maxage", "s-maxage=60", "stale-if-error=60", 30 * time.Second, 500, false},
		{"no-cache", "max-age=60", "stale-if-error=60, no-cache", 30 * time.Second, 500, false},
		{"a broken connection, later than a minute", "max-age=60", "stale-if-error=600", 2 * time.Minute, 0, true},
		{"a broken connection, nothing said", "max-age=60", "foo", 2 * time.Minute, 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, plainHTTP)
			r.say("old", "Cache-Control: "+c.Record)
			r.get("/a")
			r.now.Add(int64(60*time.Second + c.over))
			r.answer(func(w http.ResponseWriter, _ *http.Request) {
				if c.failure == 0 {
					panic(http.ErrAbortHandler)
				}
				w.WriteHeader(c.failure)
			})
			got := r.get("/a", "Cache-Control: "+c.ask)
			if (got.body == "old") != c.stale {
				t.Fatalf("%s %q, %s", got.Status, got.body, got.cacheStatus())
			}
			if c.stale {
				r.want(got, "old", "walpurge; hit; ttl=-")
			} else if c.failure != 0 && got.StatusCode != c.failure {
				t.Fatalf("%s for the origin's %d", got.Status, c.failure)
			}
		})
	}
}

// One that takes a stale response must not decide for others what they get.
func TestRFC5861Section4StaleIfErrorIsForItsRequestAlone(t *testing.T) {
	r := newRig(t, plainHTTP)
	r.say("old", "Cache-Control: max-age=60")
	r.get("/a")
	r.now.Add(int64(90 * time.Second))
	g := newGate()
	r.answer(func(w http.ResponseWriter, _ *http.Request) {
		g.pass()
		w.WriteHeader(500)
	})
	before := r.asked()
	got := make(chan reply, 2)
	for _, ask := range []string{"stale-if-error=60", "foo"} {
		go func() {
			rep, err := r.try("GET", "/a", nil, "Cache-Control: "+ask)
			if err != nil || (rep.StatusCode == 200) != (ask != "foo") {
				t.Errorf("%s: %v, %v", ask, rep.Response, err)
			}
			got <- rep
		}()
	}
	r.eventually("both ask", func() bool { return r.asked() == before+2 })
	close(g.open)
	<-got
	<-got
}

// A request with stale-if-error is like any other until there is an error.
func TestRFC5861Section4StaleIfErrorChangesNothingElse(t *testing.T) {
	r := newRig(t, plainHTTP)
	r.counted(200, "Cache-Control: max-age=60, stale-while-revalidate=60")
	r.get("/a")
	r.want(r.get("/a", "Cache-Control: stale-if-error=60"), "1", "walpurge; hit")
	r.now.Add(int64(90 * time.Second))
	r.want(r.get("/a", "Cache-Control: stale-if-error=60"), "1", "walpurge; hit; ttl=-30")
}

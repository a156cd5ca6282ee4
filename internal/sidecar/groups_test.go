package sidecar

import (
	"net/http"
	"os"
	"testing"

	"walpurge/dev/testbed"
)

// TestPurgeOfAGroup: a response that declares groups is purged by a message in
// the log, sent by the command line, the admin port or the application; one
// that doesn't stays. A transaction that rolls back purges nothing.
func TestPurgeOfAGroup(t *testing.T) {
	for _, redis := range []string{"", testbed.SharedRedis(t)} {
		r := newRig(t, rigOptions{redis: redis})
		hook := func(w http.ResponseWriter, req *http.Request) bool {
			if req.URL.Path == "/api/listings/1" {
				w.Header().Set("Cache-Groups", `"posts", "front page"`)
			}
			_, _ = w.Write([]byte("ok"))
			return true
		}
		r.hook.Store(&hook)
		for i, purge := range []func(){
			func() { r.exec(`select pg_logical_emit_message(true, 'walpurge', 'news posts')`) },
			func() {
				if err := Run(t.Context(), []string{"purge", "-config", r.config, "posts"}, os.Stderr, os.Stderr); err != nil {
					t.Error(err)
				}
			},
			func() {
				resp, err := r.client.PostForm(r.admin+"/purge", map[string][]string{"group": {"posts"}})
				if err != nil || resp.StatusCode != 200 {
					t.Errorf("purge by the admin port: %v, %v", resp, err)
				}
			},
		} {
			r.warm("/api/listings/1", "/api/listings/2")
			r.exec(`select pg_logical_emit_message(true, 'walpurge', 'other')`)
			r.caughtUp()
			r.stillHits("/api/listings/1")
			purge()
			r.caughtUp()
			if p := r.get("/api/listings/1"); p.hit() {
				t.Errorf("purge %d: %q", i, p.header.Get("Cache-Status"))
			}
			r.stillHits("/api/listings/2")
		}
	}
}

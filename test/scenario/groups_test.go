package scenario

import (
	"net/http"
	"os"
	"testing"

	"walpurge/dev/testbed"
	"walpurge/internal/sidecar"
	"walpurge/test/rig"
)

// TestPurgeOfAGroup: a response that declares groups is purged by a message in
// the log, sent by the command line, the admin port or the application; one
// that doesn't stays. A transaction that rolls back purges nothing.
func TestPurgeOfAGroup(t *testing.T) {
	for _, redis := range []string{"", testbed.SharedRedis(t)} {
		r := rig.New(t, rig.Options{Redis: redis})
		hook := func(w http.ResponseWriter, req *http.Request) bool {
			if req.URL.Path == "/api/listings/1" {
				w.Header().Set("Cache-Groups", `"posts", "front page"`)
			}
			_, _ = w.Write([]byte("ok"))
			return true
		}
		r.Hook.Store(&hook)
		for i, purge := range []func(){
			func() { r.Exec(`select pg_logical_emit_message(true, 'walpurge', 'news posts')`) },
			func() {
				if err := sidecar.Run(t.Context(), []string{"purge", "-config", r.Config, "posts"}, os.Stderr, os.Stderr); err != nil {
					t.Error(err)
				}
			},
			func() {
				resp, err := r.Client.PostForm(r.Admin+"/purge", map[string][]string{"group": {"posts"}})
				if err != nil || resp.StatusCode != 200 {
					t.Errorf("purge by the admin port: %v, %v", resp, err)
				}
			},
		} {
			r.Warm("/api/listings/1", "/api/listings/2")
			r.Exec(`select pg_logical_emit_message(true, 'walpurge', 'other')`)
			r.CaughtUp()
			r.StillHits("/api/listings/1")
			purge()
			r.CaughtUp()
			if p := r.Get("/api/listings/1"); p.Hit() {
				t.Errorf("purge %d: %q", i, p.Header.Get("Cache-Status"))
			}
			r.StillHits("/api/listings/2")
		}
	}
}

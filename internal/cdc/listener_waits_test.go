package cdc

import (
	"fmt"
	"strings"
	"testing"

	"walpurge/dev/testbed"
	"walpurge/internal/cdc/catalogue"
)

// TestListenerSaysWhomItWaitsFor: /status names the session while the slot is
// made, and while the horizon has not passed.
func TestListenerSaysWhomItWaitsFor(t *testing.T) {
	for _, slot := range []bool{false, true} {
		t.Run(fmt.Sprintf("slot %t", slot), func(t *testing.T) {
			url := testbed.Database(t)
			newClient(t, url).exec(rooms, `CREATE TABLE other (id int)`)
			cfg := config(t, url, watchRooms())
			if slot {
				if _, err := catalogue.Setup(t.Context(), cfg.Scope, false); err != nil {
					t.Fatal(err)
				}
			}
			writer := newClient(t, url)
			writer.exec("SET application_name = 'batch'", "BEGIN", "INSERT INTO other VALUES (1)")
			r := start(t, cfg)
			want := "session " + writer.text("SELECT pg_backend_pid()") + " (user postgres, application batch"
			eventually(t, want, func() bool {
				s := r.listener.Status()
				return s.State == "waiting for open transactions" && strings.HasPrefix(s.WaitingFor, want)
			})
			writer.exec("COMMIT")
			r.proven()
			if got := r.listener.Status().WaitingFor; got != "" {
				t.Errorf("still waiting for %s", got)
			}
		})
	}
}

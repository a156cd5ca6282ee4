package redisclient

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
)

func TestGateClosesAfterFailuresInARowAndProbes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g Gate
		broken := errors.New("broken")
		for i, err := range []error{broken, broken, redis.Nil, broken, broken} {
			if g.Note(err) || !g.Open() {
				t.Fatalf("closed after result %d", i)
			}
		}
		if !g.Note(broken) || g.Open() || g.Reachable() {
			t.Fatal("open after three failures in a row")
		}
		if g.Note(broken) {
			t.Error("it has closed twice")
		}
		time.Sleep(gatePause) // virtual
		if !g.Open() || g.Open() {
			t.Error("not exactly one request probes")
		}
		g.Note(nil)
		if !g.Open() || !g.Reachable() {
			t.Error("closed after an answer")
		}
	})
}

package measure

import (
	"testing"
	"time"

	"walpurge/dev/testbed"
	"walpurge/test/rig"
)

// TestOracle runs writers and readers through the proxy for a minute. A
// response may never be older than what was settled before its request.
func TestOracle(t *testing.T) {
	duration, least := rig.TrialOf(time.Minute, 500_000)
	r := rig.New(t, rig.Options{Redis: testbed.SharedRedis(t)})
	tr := rig.NewTrial(r, rig.Members(r), rig.Crew{Plain: rig.Readers})
	tr.Run(duration, least)
	tr.Judge(0.5)
}

package cdc

import (
	"slices"
	"testing"

	"walpurge/dev/testbed"
)

// roles are those of the members that a listener knows, sorted.
func roles(r *rig) (list []string) {
	for _, m := range r.listener.Status().Members {
		list = append(list, m.Role)
	}
	return list
}

// TestMembersKnowEachOther: each process knows all of the slot, the leader
// first, and who has stopped is gone at once.
func TestMembersKnowEachOther(t *testing.T) {
	f := newFleet(t, testbed.Database(t), testbed.SharedRedis(t))
	a := f.join()
	f.role(a, roleLeader)
	b := f.join()
	f.ready(a, b)
	for _, r := range f.all {
		eventually(t, "both are known", func() bool { return slices.Equal(roles(r), []string{roleLeader, roleFollower}) })
	}
	members := b.listener.Status().Members
	if members[0].Self || !members[1].Self || members[0].ID == members[1].ID || members[0].Epoch != a.guard.Epoch().String() || members[1].Behind < 0 {
		t.Errorf("%+v", members)
	}
	if err := b.stop(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "one is known", func() bool { return slices.Equal(roles(a), []string{roleLeader}) })
}

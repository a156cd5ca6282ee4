package cdc

import (
	"slices"
	"testing"
	"time"

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

// TestSilentMembersAreForgotten: who was killed takes no leave.
func TestSilentMembersAreForgotten(t *testing.T) {
	s := register{client: relayClient(t, testbed.SharedRedis(t)), key: "members-" + t.Name() + time.Now().String()}
	ctx := t.Context()
	if _, err := s.meet(ctx, Member{ID: "dead"}, time.Minute); err != nil {
		t.Fatal(err)
	}
	if err := s.client.HSet(ctx, s.key, "odd", "no word").Err(); err != nil {
		t.Fatal(err)
	}
	got, err := s.meet(ctx, Member{ID: "living"}, time.Minute)
	if err != nil || len(got) != 2 {
		t.Fatalf("%+v %v, want two", got, err)
	}
	eventually(t, "the dead and what can't be read are gone", func() bool {
		got, err = s.meet(ctx, Member{ID: "living"}, 200*time.Millisecond)
		return err == nil && len(got) == 1 && got[0].ID == "living" && got[0].Self && s.client.HLen(ctx, s.key).Val() == 1
	})
	if ttl := s.client.PTTL(ctx, s.key).Val(); ttl > 200*time.Millisecond {
		t.Errorf("the key lives for %v", ttl)
	}
}

package relay

import (
	"testing"
	"time"
)

// TestSilentMembersAreForgotten: who was killed takes no leave.
func TestSilentMembersAreForgotten(t *testing.T) {
	s := Peers{client: newClient(t), key: "members-" + t.Name() + time.Now().String()}
	ctx := t.Context()
	if _, err := s.Meet(ctx, Peer{ID: "dead"}, time.Minute); err != nil {
		t.Fatal(err)
	}
	if err := s.client.HSet(ctx, s.key, "odd", "no word").Err(); err != nil {
		t.Fatal(err)
	}
	got, err := s.Meet(ctx, Peer{ID: "living"}, time.Minute)
	if err != nil || len(got) != 2 {
		t.Fatalf("%+v %v, want two", got, err)
	}
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for over := time.After(30 * time.Second); ; {
		got, err = s.Meet(ctx, Peer{ID: "living"}, 200*time.Millisecond)
		if err == nil && len(got) == 1 && got[0].ID == "living" && got[0].Self && s.client.HLen(ctx, s.key).Val() == 1 {
			break
		}
		select {
		case <-tick.C:
		case <-over:
			t.Fatal("the dead and what can't be read are not gone")
		}
	}
	if ttl := s.client.PTTL(ctx, s.key).Val(); ttl > 200*time.Millisecond {
		t.Errorf("the key lives for %v", ttl)
	}
}

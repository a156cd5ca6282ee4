package relay

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

// TestAnEntryIsWrittenOnce: a number that is taken is refused, which fences a
// leader that has been replaced; the same entry once more counts as written.
func TestAnEntryIsWrittenOnce(t *testing.T) {
	s := newStream(t)
	own := Message{7, []byte("own")}
	for range 2 {
		if err := s.add(t.Context(), own, 0, false, false); err != nil {
			t.Fatal(err)
		}
	}
	for _, m := range []Message{{7, []byte("another's")}, {6, []byte("below")}} {
		if err := s.add(t.Context(), m, 0, false, false); !errors.Is(err, ErrFenced) {
			t.Errorf("entry %d: %v", m.Seq, err)
		}
	}
	if err := s.add(t.Context(), Message{9, []byte("next")}, 0, false, true); !errors.Is(err, errLost) {
		t.Errorf("after an entry that is not there: %v", err)
	}
	if top, err := s.Top(t.Context()); err != nil || top != 9 {
		t.Errorf("the highest is %d (%v)", top, err)
	}
}

// TestStreamLivesOnlyWhileSomebodyLeads: the key goes after a day without a
// keyframe, and nothing else renews it.
func TestStreamLivesOnlyWhileSomebodyLeads(t *testing.T) {
	s := newStream(t)
	client := newClient(t)
	for i, renew := range []bool{false, true} {
		if err := s.add(t.Context(), Message{uint64(i + 1), []byte("x")}, 0, renew, false); err != nil {
			t.Fatal(err)
		}
		if ttl := client.TTL(t.Context(), s.Key).Val(); (ttl > 0 && ttl <= life) != renew {
			t.Errorf("renewed: %t; the stream lives for %v", renew, ttl)
		}
	}
}

// TestKeysOfTheRelay: processes of other builds use the same.
func TestKeysOfTheRelay(t *testing.T) {
	s := newStream(t)
	if err := s.add(t.Context(), Message{1, []byte("x")}, 0, true, false); err != nil {
		t.Fatal(err)
	}
	s.Want(t.Context())
	if err := s.Ask(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	namespace, found := strings.CutSuffix(s.Key, ":relay:d:s")
	got := newClient(t).Keys(t.Context(), namespace+"*").Val()
	slices.Sort(got)
	if !found || !slices.Equal(got, []string{s.Key, s.Key + ":looks", s.Key + ":wanted"}) {
		t.Errorf("keys %q beside %s", got, s.Key)
	}
}

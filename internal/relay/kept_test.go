package relay

import "testing"

// TestStreamIsCutAtKeyframes: who begins to read finds a keyframe first, and
// what is kept stays within its bounds.
func TestStreamIsCutAtKeyframes(t *testing.T) {
	key, plain, first := &Entry{Announced: &Announcement{}}, &Entry{}, &Entry{Begins: true, Announced: &Announcement{}}
	for name, s := range map[string]*Stream{
		"by entries": (&Config{MaxEntries: 5}).Stream("d", "s"),
		"by bytes":   (&Config{MaxBytes: 50}).Stream("d", "s"),
	} {
		for i, step := range []struct {
			entry *Entry
			cut   uint64 // with the next entry
		}{
			{plain, 0}, // of no known segment
			{first, 0},
			{plain, 0},
			{key, 0},
			{plain, 0},
			{plain, 4}, // the fifth since the keyframe 2: that of 4 comes first
			{key, 0},
			{plain, 7},
			{first, 0}, // what lies before it has been cut with it
			{key, 0},
		} {
			m := Message{uint64(i + 1), make([]byte, 10)}
			if step.entry.Begins {
				if got := s.trim(step.entry, m.Seq); got != m.Seq {
					t.Errorf("%s: entry %d begins an epoch and cuts before %d", name, m.Seq, got)
				}
			}
			s.Keep(step.entry, m)
			if got := s.trim(plain, m.Seq+1); got != step.cut {
				t.Errorf("%s: after entry %d the stream is cut before %d, want %d", name, m.Seq, got, step.cut)
			}
		}
	}
}

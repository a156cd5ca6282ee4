package relay

import "sync"

// kept counts what the stream holds, so that whoever writes knows where to cut
// it: at a keyframe, for others begin there.
type kept struct {
	mu struct {
		sync.Mutex
		segments []segment
		entries  int
		bytes    int64
		cut      uint64 // the stream may be cut before this entry; 0: it may not
	}
}

// segment is the entries from one keyframe up to the next.
type segment struct {
	seq   uint64 // of the keyframe
	count int
	bytes int64
}

// Keep notes an entry that lies in the stream. It is told of each in turn,
// whether it was read or written here.
func (s *Stream) Keep(e *Entry, m Message) {
	k := &s.kept.mu
	k.Lock()
	defer k.Unlock()
	if e.Begins {
		k.segments, k.entries, k.bytes, k.cut = nil, 0, 0, 0
	}
	if e.Announced != nil {
		k.segments = append(k.segments, segment{seq: m.Seq})
	}
	n := len(k.segments)
	if n == 0 {
		return
	}
	k.segments[n-1].count++
	k.segments[n-1].bytes += int64(len(m.Blob))
	k.entries++
	k.bytes += int64(len(m.Blob))
	for len(k.segments) > 1 && (k.entries >= s.maxEntries || k.bytes >= s.maxBytes) {
		k.entries -= k.segments[0].count
		k.bytes -= k.segments[0].bytes
		k.segments = k.segments[1:]
		k.cut = k.segments[0].seq
	}
}

// trim is the entry before which the stream may be cut once e is added as
// seq; 0 leaves it as it is. What lies before an epoch is of no use.
func (s *Stream) trim(e *Entry, seq uint64) uint64 {
	if e.Begins {
		return seq
	}
	k := &s.kept.mu
	k.Lock()
	defer k.Unlock()
	to := k.cut
	k.cut = 0
	return to
}

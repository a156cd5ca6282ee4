package wal

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"walpurge/dev/testbed"
	"walpurge/internal/coherence"
)

// span is where a record lies in the log.
type span struct{ start, end coherence.LSN }

// spans scans data in pieces and returns what it has found.
func spans(layout Layout, start coherence.LSN, data []byte, seed uint64) (found []span, s *Scanner, err error) {
	s, err = scanAll(layout, start, data, seed, func(r *Record) error {
		found = append(found, span{r.Start, r.End})
		return nil
	})
	return found, s, err
}

// TestPiecesMakeNoDifference scans the same log in other pieces.
func TestPiecesMakeNoDifference(t *testing.T) {
	s := newServer(t, testbed.Database(t))
	start := s.here()
	s.exec(everything("off")[1:20]...)
	data := s.log(start)
	want, scanner, err := spans(s.layout, start, data, 0)
	if err != nil {
		t.Fatal(err)
	}
	if scanner.Position() != want[len(want)-1].end || scanner.Next() != start+coherence.LSN(len(data)) {
		t.Errorf("at %s and %s", scanner.Position(), scanner.Next())
	}
	for seed := range uint64(5) {
		got, again, err := spans(s.layout, start, data, seed+1)
		if err != nil || !slices.Equal(got, want) || again.Position() != scanner.Position() {
			t.Errorf("in other pieces (%d): %d records and not %d, up to %s, %v", seed+1, len(got), len(want), again.Position(), err)
		}
	}
}

// TestDamageIsNoticed changes each byte of some pages in turn.
func TestDamageIsNoticed(t *testing.T) {
	s := newServer(t, testbed.Database(t))
	start := s.here()
	s.exec("CREATE TABLE few (id int PRIMARY KEY, t text)", "INSERT INTO few SELECT g, repeat('x', 50 * g) FROM generate_series(1, 40) g", "DROP TABLE few")
	all, _, err := spans(s.layout, start, s.log(start), 0)
	if err != nil {
		t.Fatal(err)
	}
	end := all[len(all)-1].end
	first := slices.IndexFunc(all, func(r span) bool { return r.start > end-30_000 })
	all = all[max(first, 0):]
	start = all[0].start
	data := s.log(start)[:end-start]
	flips := 0
	for i := range data {
		at := start + coherence.LSN(i)
		inside := slices.IndexFunc(all, func(r span) bool { return at >= r.start && at < r.end })
		data[i] ^= 1 << (i % 8)
		got, _, err := spans(s.layout, start, data, 0)
		data[i] ^= 1 << (i % 8)
		if int(at)%s.layout.page < longHeader {
			continue // of a page's header only some counts
		}
		flips++
		padding := int(-at & (align - 1))
		switch between := inside >= 0 && padding != 0 && at+coherence.LSN(padding) == all[inside].end; {
		case len(got) > inside && !between:
			t.Fatalf("the record at %s is told though it is damaged at %s", all[inside].start, at)
		case err == nil && len(got) == len(all) && !between:
			t.Fatalf("a change at %s is not noticed", at)
		}
	}
	t.Logf("%d changes in %d records", flips, len(all))
}

// TestWhatIsNotALogIsRefused starts where no record starts, and gives a log to
// the wrong layout.
func TestWhatIsNotALogIsRefused(t *testing.T) {
	s := newServer(t, testbed.Database(t))
	start := s.here()
	s.exec("CREATE TABLE few (id int)", "INSERT INTO few SELECT generate_series(1, 500)", "DROP TABLE few")
	data := s.log(start)
	for _, off := range []int{8, 16, 24} {
		if _, _, err := spans(s.layout, start+coherence.LSN(off), data[off:], 0); err == nil {
			t.Errorf("a scan from the middle of a record, %d bytes on, is not refused", off)
		}
	}
	if _, _, err := spans(s.layout, start, make([]byte, 100), 0); err == nil {
		t.Error("zeros are not refused")
	}
	for version := 14; version <= 18; version++ {
		layout, err := NewLayout(version*10000, s.layout.page, s.layout.segment)
		if err != nil {
			t.Fatal(err)
		}
		if layout.magic == s.layout.magic {
			continue
		}
		if _, _, err := spans(layout, start, data, 0); err == nil || !strings.Contains(err.Error(), "magic number") {
			t.Errorf("a log of another version than %d: %v", version, err)
		}
	}
	for _, bad := range [][3]int{{130000, 8192, 16 << 20}, {190000, 8192, 16 << 20}, {150000, 0, 16 << 20}, {150000, 8191, 16 << 20}, {150000, 8192, 1000}} {
		if _, err := NewLayout(bad[0], bad[1], bad[2]); err == nil {
			t.Errorf("a layout of %v is not refused", bad)
		}
	}
}

// TestABrokenScannerStaysBroken makes sure that nothing follows an error.
func TestABrokenScannerStaysBroken(t *testing.T) {
	b := newBuilder(t, 0x200_0028)
	b.record(managerHeap, heapInsert, 7, nil, []byte("row"))
	b.record(managerHeap, heapInsert, 7, nil, []byte("row"))
	s := NewScanner(b.layout, b.start)
	no := errors.New("no")
	calls := 0
	visit := func(*Record) error { calls++; return no }
	for range 2 {
		if err := s.Scan(b.log, visit); !errors.Is(err, no) {
			t.Errorf("it goes on: %v", err)
		}
	}
	if calls != 1 || s.Position() != b.start {
		t.Errorf("%d calls, at %s", calls, s.Position())
	}
}

// TestACrashCutsARecordOff scans a page at which a server has started again in
// the middle of a record.
func TestACrashCutsARecordOff(t *testing.T) {
	b := newBuilder(t, 0x200_0028)
	b.record(managerHeap, heapInsert, 7, nil, []byte("row"))
	whole, last := len(b.log), b.last
	b.record(managerHeap, heapInsert, 8, nil, make([]byte, 2*b.layout.page))
	b.log = b.log[:b.layout.page-0x28] // the first page
	b.flags, b.last = overwritten, last
	b.record(0, 0xD0, 0, nil, make([]byte, 16))
	want := []span{
		{b.start, b.start + coherence.LSN(whole)},
		{0x200_0000 + coherence.LSN(b.layout.page) + shortHeader, b.start + coherence.LSN(len(b.log))},
	}
	for seed := range uint64(4) {
		if got, _, err := spans(b.layout, b.start, b.log, seed); err != nil || !slices.Equal(got, want) {
			t.Errorf("%v and not %v: %v", got, want, err)
		}
	}
}

// TestASwitchSkipsTheSegment looks at the position that stands at its end.
func TestASwitchSkipsTheSegment(t *testing.T) {
	b := newBuilder(t, 0x200_0028)
	b.record(managerLog, logSwitch, 0, nil, nil)
	rest := make([]byte, b.layout.segment-0x28-len(b.log))
	s := NewScanner(b.layout, b.start)
	count := 0
	visit := func(*Record) error { count++; return nil }
	for _, piece := range [][]byte{b.log, rest[:len(rest)-1]} {
		if err := s.Scan(piece, visit); err != nil || s.Position() != b.start+coherence.LSN(len(b.log)) {
			t.Fatalf("at %s: %v", s.Position(), err)
		}
	}
	if err := s.Scan(rest[:1], visit); err != nil || s.Position() != 0x200_0000+coherence.LSN(b.layout.segment) {
		t.Fatalf("at %s: %v", s.Position(), err)
	}
	b.log = append(b.log, rest...)
	before := len(b.log)
	b.record(managerHeap, heapInsert, 7, nil, []byte("row"))
	if err := s.Scan(b.log[before:], visit); err != nil || count != 2 {
		t.Errorf("%d records, %v", count, err)
	}
}

// TestLongRecordsAreNotKept scans a record of many megabytes.
func TestLongRecordsAreNotKept(t *testing.T) {
	b := newBuilder(t, 0x200_0028)
	b.record(managerHeap, heapInsert, 7, &File{1663, 5}, make([]byte, 9<<20))
	b.record(managerMessage, 0, 8, nil, make([]byte, 9<<20))
	b.record(managerHeap, heapInsert, 9, nil, nil)
	most := 0
	var seen []string
	s, err := scanAll(b.layout, b.start, b.log, 3, func(r *Record) error {
		most = max(most, len(r.data))
		_, _, err := r.read(&b.layout)
		seen = append(seen, fmt.Sprint(r.xid, r.total > 9<<20))
		return err
	})
	if err != nil || strings.Join(seen, ", ") != "7 true, 8 true, 9 false" || most > keptOfWhole || cap(s.head) > 2*keptOfMost {
		t.Errorf("%q, %d bytes kept, then %d, %v", seen, most, cap(s.head), err)
	}
}

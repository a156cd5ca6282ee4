package cdc

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"

	"walpurge/internal/coherence"
)

func big32(b []byte, numbers ...uint32) []byte {
	for _, n := range numbers {
		b = binary.BigEndian.AppendUint32(b, n)
	}
	return b
}

func streamStart(xid uint32, first byte) []byte { return append(big32([]byte{'S'}, xid), first) }

func streamStop() []byte { return []byte{'E'} }

func streamCommit(xid uint32, start, end uint64) []byte {
	return big64(append(big32([]byte{'c'}, xid), 0), start, end, 0)
}

func streamAbort(xid, sub uint32) []byte { return big32([]byte{'A'}, xid, sub) }

// inPiece is msg as it comes between Stream Start and Stream Stop.
func inPiece(xid uint32, msg []byte) []byte {
	return append(big32([]byte{msg[0]}, xid), msg[1:]...)
}

var (
	describeA = relationMessage(1, "public.a", 'f', "*id", "*note", "*price")
	describeB = relationMessage(9, "public.other", 'd', "*id")
)

func insertA(id int) []byte {
	return changeMessage('I', 1, row([]byte{'N'}, fmt.Sprint(id), "x", fmt.Sprint(id*10)))
}

func groupMessage(transactional byte, content string) []byte {
	b := append(big64([]byte{'M', transactional}, 5), "walpurge\x00"...)
	return append(big32(b, uint32(len(content))), content...)
}

// decodeAll feeds messages and returns what was committed, a line each.
func decodeAll(t *testing.T, d *decoder, msgs ...[]byte) []string {
	t.Helper()
	var commits []string
	for i, msg := range msgs {
		committed, err := d.decode(msg)
		if err != nil {
			t.Fatalf("message %d, %q: %v", i, msg, err)
		}
		if committed {
			commits = append(commits, summary(d.tx))
		}
	}
	return commits
}

// summary is 7 from 0/A to 0/14: 1 2 | whole a | group b.
func summary(tx *coherence.Transaction) string {
	var ids, parts []string
	for i := range tx.Changes {
		_, new := tx.Values(&tx.Changes[i])
		ids = append(ids, string(new[0].Text))
	}
	parts = append(parts, strings.Join(ids, " "))
	for _, table := range tx.WholeTables() {
		parts = append(parts, fmt.Sprintf("whole %d", table))
	}
	for _, g := range tx.Groups {
		parts = append(parts, "group "+g)
	}
	if tx.IsEveryGroup() {
		parts = append(parts, "every group")
	}
	return fmt.Sprintf("%d from %s to %s: %s", tx.XID, tx.Start, tx.End, strings.Join(parts, " | "))
}

func expectCommits(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// Pieces of two transactions, one in a single piece between them, and commits
// in another order.
func TestStreamsInterleave(t *testing.T) {
	d := testDecoder()
	got := decodeAll(t, d,
		streamStart(7, 1), inPiece(7, describeA), inPiece(7, insertA(1)), streamStop(),
		streamStart(8, 1), inPiece(8, describeA), inPiece(81, insertA(2)), inPiece(8, groupMessage(1, "g")), streamStop(),
		groupMessage(0, "nobody"),
		beginMessage(100, 9), describeA, insertA(3), commitMessage(100, 110),
		streamStart(7, 0), inPiece(71, insertA(4)), streamStop(),
		streamCommit(8, 120, 130),
		beginMessage(140, 10), insertA(5), commitMessage(140, 150),
		streamStart(7, 0), streamStop(),
		streamStart(7, 0), inPiece(7, insertA(6)), inPiece(7, []byte{'T', 0, 0, 0, 1, 0, 0, 0, 0, 1}), streamStop(),
		streamCommit(7, 160, 170),
	)
	expectCommits(t, got,
		"9 from 0/64 to 0/6E: 3",
		"8 from 0/78 to 0/82: 2 | group g",
		"10 from 0/8C to 0/96: 5",
		"7 from 0/A0 to 0/AA: 1 4 6 | whole 0")
	if len(d.streaming.open) != 0 || d.streaming.kept != 0 {
		t.Errorf("left behind: %+v", d.streaming)
	}
}

// What a whole transaction has touched is forgotten when it is rolled back; of
// a subtransaction it is kept, which matches more.
func TestStreamAbort(t *testing.T) {
	d := testDecoder()
	got := decodeAll(t, d,
		streamStart(7, 1), inPiece(7, describeA), inPiece(70, insertA(1)), streamStop(),
		streamStart(8, 1), inPiece(8, describeA), inPiece(8, insertA(2)), streamStop(),
		streamAbort(7, 70), // a savepoint
		streamAbort(8, 8),
		streamAbort(99, 99), // was never streamed
		beginMessage(100, 9), streamAbort(98, 98), commitMessage(100, 110),
		streamCommit(7, 120, 130),
	)
	expectCommits(t, got, "9 from 0/64 to 0/6E: ", "7 from 0/78 to 0/82: 1")
	if len(d.streaming.open) != 0 || d.streaming.kept != 0 {
		t.Errorf("left behind: %+v", d.streaming)
	}
	if _, err := d.decode(streamCommit(8, 140, 150)); err == nil {
		t.Error("what was rolled back commits")
	}
}

// What a transaction says of a relation is its own until it commits.
func TestRelationInAStream(t *testing.T) {
	altered := relationMessage(1, "public.a", 'f', "*id", "*note", "*price", "*more")
	wide := changeMessage('I', 1, row([]byte{'N'}, "5", "x", "50", "y"))
	d := testDecoder()
	decodeAll(t, d, beginMessage(10, 6), describeA, commitMessage(10, 20),
		streamStart(7, 1), inPiece(7, altered), inPiece(7, wide), streamStop())
	if !d.suspect {
		t.Error("the catalogue is not suspected")
	}
	d.suspect = false
	got := decodeAll(t, d, beginMessage(30, 8), insertA(1), commitMessage(30, 40), streamAbort(7, 7),
		beginMessage(50, 8), insertA(2), commitMessage(50, 60))
	expectCommits(t, got, "8 from 0/1E to 0/28: 1", "8 from 0/32 to 0/3C: 2")
	if d.suspect {
		t.Error("the catalogue is suspected for what was rolled back")
	}
	decodeAll(t, d, streamStart(9, 1), inPiece(9, altered), inPiece(9, wide), streamStop())
	d.suspect = false
	got = decodeAll(t, d, streamCommit(9, 70, 80), beginMessage(90, 10), wide, commitMessage(90, 100))
	expectCommits(t, got, "9 from 0/46 to 0/50:  | whole 0", "10 from 0/5A to 0/64:  | whole 0")
	if !d.suspect {
		t.Error("the catalogue is not suspected when what was altered has committed")
	}
	// A partition that has less than the others, noticed in any stream, counts for all.
	d = testDecoder()
	d.catalogue.relations[0].partitioned = true
	d.catalogue.leaves[5] = 0
	got = decodeAll(t, d, streamStart(7, 1), inPiece(7, describeA), streamStop(),
		streamStart(8, 1), inPiece(8, relationMessage(5, "public.a5", 'd', "*id", "note", "price")), streamStop(),
		streamStart(7, 0), inPiece(7, changeMessage('U', 1, append(row([]byte{'O'}, "1", "", ""), row([]byte{'N'}, "1", "2", "3")...))), streamStop(),
		streamCommit(7, 10, 20))
	expectCommits(t, got, "7 from 0/A to 0/14: 1")
	if line := describe(testTables(), d.tx, &d.tx.Changes[0]); line != "update a: id=1 price=? -> id=1 price=3 [id price other]" {
		t.Errorf("got %s", line)
	}
}

// A relation that every stream describes alike is kept once.
func TestRelationsAreShared(t *testing.T) {
	d := testDecoder()
	decodeAll(t, d, beginMessage(10, 6), describeA, describeB, commitMessage(10, 20))
	for xid := range uint32(3) {
		decodeAll(t, d, streamStart(xid, 1), inPiece(xid, describeA), inPiece(xid, describeB), streamStop())
		for oid, rel := range d.streaming.open[xid].relations {
			if rel != d.relations[oid] {
				t.Errorf("transaction %d has its own copy of relation %d", xid, oid)
			}
		}
	}
}

func TestStreamFailsClosed(t *testing.T) {
	open := [][]byte{streamStart(7, 1), inPiece(7, describeA), inPiece(7, insertA(1))}
	closed := append(slices.Clone(open), streamStop())
	for name, test := range map[string]struct {
		before [][]byte
		msg    []byte
	}{
		"start inside a stream":         {open, streamStart(8, 1)},
		"start inside a transaction":    {[][]byte{beginMessage(10, 6)}, streamStart(8, 1)},
		"begin inside a stream":         {open, beginMessage(10, 6)},
		"commit of another inside":      {open, commitMessage(10, 20)},
		"commit inside a stream":        {open, streamCommit(7, 10, 20)},
		"abort inside its stream":       {open, streamAbort(7, 7)},
		"started twice":                 {closed, streamStart(7, 1)},
		"goes on without a start":       {closed, streamStart(8, 0)},
		"commits without a start":       {closed, streamCommit(8, 10, 20)},
		"ends early":                    {closed, streamCommit(7, 10, 10)},
		"stops twice":                   {closed, streamStop()},
		"change between pieces":         {closed, insertA(2)},
		"message between pieces":        {closed, groupMessage(1, "g")},
		"begin prepare":                 {closed, append([]byte{'b'}, make([]byte, 40)...)},
		"stream prepare":                {closed, append([]byte{'p'}, make([]byte, 40)...)},
		"short start":                   {nil, streamStart(7, 1)[:5]},
		"long start":                    {nil, append(streamStart(7, 1), 0)},
		"long stop":                     {open, append(streamStop(), 0)},
		"short commit":                  {closed, streamCommit(7, 10, 20)[:20]},
		"long commit":                   {closed, append(streamCommit(7, 10, 20), 0)},
		"short abort":                   {closed, streamAbort(7, 7)[:8]},
		"abort with positions":          {closed, append(streamAbort(7, 7), make([]byte, 16)...)},
		"change without its id":         {open, insertA(2)},
		"relation of nobody":            {open, inPiece(7, changeMessage('I', 5, row([]byte{'N'}, "1")))},
		"relation without end":          {open, inPiece(7, describeA)[:16]},
		"relation that is too long":     {open, inPiece(7, append(slices.Clone(describeA), 0))},
		"nothing but a kind and no id ": {open, []byte{'I', 0}},
	} {
		d := testDecoder()
		decodeAll(t, d, test.before...)
		if committed, err := d.decode(test.msg); err == nil || committed {
			t.Errorf("%s: committed %t, error %v", name, committed, err)
		}
	}
}

// However many are open, and however much they touch, what is kept fits in
// the room; what doesn't fit is a whole table.
func TestOpenTransactionsFitInTheirRoom(t *testing.T) {
	d := newDecoder(testCatalogue(), testTables(), 1_000_000)
	d.streaming.room = 64 << 10
	const transactions, pieces, rows = 40, 4, 50
	most := 0
	for piece := range pieces {
		for xid := range uint32(transactions) {
			first := byte(0)
			msgs := [][]byte{nil, inPiece(xid, describeA)}
			if piece == 0 {
				first = 1
			}
			msgs[0] = streamStart(xid, first)
			for i := range rows {
				msgs = append(msgs, inPiece(xid, insertA(i)))
			}
			msgs = append(msgs, inPiece(xid, groupMessage(1, "a b c")), streamStop())
			for _, msg := range msgs {
				if _, err := d.decode(msg); err != nil {
					t.Fatal(err)
				}
				most = max(most, d.streaming.kept)
			}
		}
	}
	if most > d.streaming.room || most < d.streaming.room/2 {
		t.Errorf("kept up to %d bytes in %d", most, d.streaming.room)
	}
	sum, coarse := 0, 0
	for _, open := range d.streaming.open {
		sum += open.tx.Size()
	}
	if sum != d.streaming.kept {
		t.Errorf("%d bytes are counted and %d kept", d.streaming.kept, sum)
	}
	for xid := range uint32(transactions) {
		decodeAll(t, d, streamCommit(xid, uint64(xid)*100+10, uint64(xid)*100+20))
		tx := d.tx
		if n := tx.Rows[0][coherence.Insert]; n != pieces*rows {
			t.Errorf("transaction %d has %d rows", xid, n)
		}
		switch {
		case len(tx.WholeTables()) == 1:
			coarse++
			if !tx.IsEveryGroup() {
				t.Errorf("transaction %d lost groups: %s", xid, summary(tx))
			}
		case len(tx.Changes) != pieces*rows || len(tx.Groups) != 3*pieces:
			t.Errorf("transaction %d lost rows: %s", xid, summary(tx))
		}
	}
	if coarse == 0 || d.streaming.kept != 0 || len(d.streaming.open) != 0 {
		t.Errorf("%d are coarse; left behind: %+v", coarse, d.streaming)
	}
}

// A keepalive between two pieces is a position like any other; one inside a
// piece is not. Nothing is fenced before the commit, and then with its end.
func TestKeepaliveWhileAStreamIsOpen(t *testing.T) {
	guard, err := coherence.New(coherence.Config{Tables: testTables()})
	if err != nil {
		t.Fatal(err)
	}
	guard.Reset(1, 100)
	s := &session{l: &Listener{guard: guard, observer: deaf{}}, pace: &pace{}, decoder: newDecoder(testCatalogue(), guard.Tables(), 10)}
	s.visibility.wake = make(chan struct{}, 1)
	frame := func(data []byte) {
		t.Helper()
		if err := s.frame(data); err != nil {
			t.Fatal(err)
		}
	}
	send := func(msgs ...[]byte) {
		t.Helper()
		for _, msg := range msgs {
			frame(append(big64([]byte{'w'}, 0, 0, 0), msg...))
		}
	}
	keepalive := func(at uint64, want coherence.LSN) {
		t.Helper()
		frame(append(big64([]byte{'k'}, at, 0), 0))
		if got := guard.Applied(); got != want {
			t.Errorf("applied %d after a keepalive at %d, want %d", got, at, want)
		}
	}
	p := &cachedPage{causes: make(chan coherence.Cause, 1)}
	store := func() {
		t.Helper()
		if !guard.Open(&p.handle, p, guard.Bind(&coherence.Template{Table: 0}, nil, nil)) || !guard.Admit(&p.handle, p) {
			t.Fatal("the page is not admitted")
		}
	}
	store()
	send(streamStart(7, 1), inPiece(7, describeA))
	keepalive(110, 100)
	send(inPiece(7, insertA(1)), streamStop())
	keepalive(120, 120)
	if guard.Watermark() != 120 || !p.handle.Live() || s.l.open.Load() != 1 {
		t.Errorf("while it is open: watermark %s, page live %t, %d open", guard.Watermark(), p.handle.Live(), s.l.open.Load())
	}
	send(streamAbort(7, 7))
	if !p.handle.Live() || guard.Pending() != 0 || guard.Applied() != 120 {
		t.Error("a transaction that was rolled back has purged")
	}
	send(streamStart(8, 1), inPiece(8, describeA), inPiece(8, insertA(1)), streamStop(), streamCommit(8, 130, 140))
	if p.handle.Live() || guard.Applied() != 140 || guard.Watermark() != 130 || guard.Pending() != 1 || s.l.open.Load() != 0 {
		t.Errorf("after the commit: page live %t, applied %s, watermark %s", p.handle.Live(), guard.Applied(), guard.Watermark())
	}
	// R1: asof below the end of the commit is too old, and the end is not.
	deps := guard.Bind(&coherence.Template{Table: 0}, nil, nil)
	for asof, usable := range map[coherence.LSN]bool{120: false, 130: false, 139: false, 140: true} {
		var h coherence.Handle
		if got := guard.OpenStored(&h, p, deps, 1, asof); got != usable {
			t.Errorf("usable with asof %d: %t", asof, got)
		}
		guard.Close(&h)
	}
}

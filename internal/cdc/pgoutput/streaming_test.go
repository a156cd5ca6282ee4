package pgoutput

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"walpurge/internal/cdc/pgoutput/pgoutputtest"
	"walpurge/internal/coherence"
)

// decodeAll feeds messages and returns what was committed, a line each.
func decodeAll(t *testing.T, d *Decoder, msgs ...[]byte) []string {
	t.Helper()
	var commits []string
	for i, msg := range msgs {
		committed, err := d.Decode(msg)
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
		pgoutputtest.StreamStart(7, 1), pgoutputtest.InPiece(7, pgoutputtest.DescribeA), pgoutputtest.InPiece(7, pgoutputtest.InsertA(1)), pgoutputtest.StreamStop(),
		pgoutputtest.StreamStart(8, 1), pgoutputtest.InPiece(8, pgoutputtest.DescribeA), pgoutputtest.InPiece(81, pgoutputtest.InsertA(2)), pgoutputtest.InPiece(8, pgoutputtest.Message(1, "g")), pgoutputtest.StreamStop(),
		pgoutputtest.Message(0, "nobody"),
		pgoutputtest.Begin(100, 9), pgoutputtest.DescribeA, pgoutputtest.InsertA(3), pgoutputtest.Commit(100, 110),
		pgoutputtest.StreamStart(7, 0), pgoutputtest.InPiece(71, pgoutputtest.InsertA(4)), pgoutputtest.StreamStop(),
		pgoutputtest.StreamCommit(8, 120, 130),
		pgoutputtest.Begin(140, 10), pgoutputtest.InsertA(5), pgoutputtest.Commit(140, 150),
		pgoutputtest.StreamStart(7, 0), pgoutputtest.StreamStop(),
		pgoutputtest.StreamStart(7, 0), pgoutputtest.InPiece(7, pgoutputtest.InsertA(6)), pgoutputtest.InPiece(7, []byte{'T', 0, 0, 0, 1, 0, 0, 0, 0, 1}), pgoutputtest.StreamStop(),
		pgoutputtest.StreamCommit(7, 160, 170),
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
		pgoutputtest.StreamStart(7, 1), pgoutputtest.InPiece(7, pgoutputtest.DescribeA), pgoutputtest.InPiece(70, pgoutputtest.InsertA(1)), pgoutputtest.StreamStop(),
		pgoutputtest.StreamStart(8, 1), pgoutputtest.InPiece(8, pgoutputtest.DescribeA), pgoutputtest.InPiece(8, pgoutputtest.InsertA(2)), pgoutputtest.StreamStop(),
		pgoutputtest.StreamAbort(7, 70), // a savepoint
		pgoutputtest.StreamAbort(8, 8),
		pgoutputtest.StreamAbort(99, 99), // was never streamed
		pgoutputtest.Begin(100, 9), pgoutputtest.StreamAbort(98, 98), pgoutputtest.Commit(100, 110),
		pgoutputtest.StreamCommit(7, 120, 130),
	)
	expectCommits(t, got, "9 from 0/64 to 0/6E: ", "7 from 0/78 to 0/82: 1")
	if len(d.streaming.open) != 0 || d.streaming.kept != 0 {
		t.Errorf("left behind: %+v", d.streaming)
	}
	if _, err := d.Decode(pgoutputtest.StreamCommit(8, 140, 150)); err == nil {
		t.Error("what was rolled back commits")
	}
}

// What a transaction says of a relation is its own until it commits.
func TestRelationInAStream(t *testing.T) {
	altered := pgoutputtest.Relation(1, "public.a", 'f', "*id", "*note", "*price", "*more")
	wide := pgoutputtest.Change('I', 1, pgoutputtest.Row([]byte{'N'}, "5", "x", "50", "y"))
	d := testDecoder()
	decodeAll(t, d, pgoutputtest.Begin(10, 6), pgoutputtest.DescribeA, pgoutputtest.Commit(10, 20),
		pgoutputtest.StreamStart(7, 1), pgoutputtest.InPiece(7, altered), pgoutputtest.InPiece(7, wide), pgoutputtest.StreamStop())
	if !d.suspect {
		t.Error("the catalogue is not suspected")
	}
	d.suspect = false
	got := decodeAll(t, d, pgoutputtest.Begin(30, 8), pgoutputtest.InsertA(1), pgoutputtest.Commit(30, 40), pgoutputtest.StreamAbort(7, 7),
		pgoutputtest.Begin(50, 8), pgoutputtest.InsertA(2), pgoutputtest.Commit(50, 60))
	expectCommits(t, got, "8 from 0/1E to 0/28: 1", "8 from 0/32 to 0/3C: 2")
	if d.suspect {
		t.Error("the catalogue is suspected for what was rolled back")
	}
	decodeAll(t, d, pgoutputtest.StreamStart(9, 1), pgoutputtest.InPiece(9, altered), pgoutputtest.InPiece(9, wide), pgoutputtest.StreamStop())
	d.suspect = false
	got = decodeAll(t, d, pgoutputtest.StreamCommit(9, 70, 80), pgoutputtest.Begin(90, 10), wide, pgoutputtest.Commit(90, 100))
	expectCommits(t, got, "9 from 0/46 to 0/50:  | whole 0", "10 from 0/5A to 0/64:  | whole 0")
	if !d.suspect {
		t.Error("the catalogue is not suspected when what was altered has committed")
	}
	// A partition that has less than the others, noticed in any stream, counts for all.
	d = testDecoder()
	d.schema.Relations[0].Partitioned = true
	d.schema.Partitions[5] = 0
	got = decodeAll(t, d, pgoutputtest.StreamStart(7, 1), pgoutputtest.InPiece(7, pgoutputtest.DescribeA), pgoutputtest.StreamStop(),
		pgoutputtest.StreamStart(8, 1), pgoutputtest.InPiece(8, pgoutputtest.Relation(5, "public.a5", 'd', "*id", "note", "price")), pgoutputtest.StreamStop(),
		pgoutputtest.StreamStart(7, 0), pgoutputtest.InPiece(7, pgoutputtest.Change('U', 1, append(pgoutputtest.Row([]byte{'O'}, "1", "", ""), pgoutputtest.Row([]byte{'N'}, "1", "2", "3")...))), pgoutputtest.StreamStop(),
		pgoutputtest.StreamCommit(7, 10, 20))
	expectCommits(t, got, "7 from 0/A to 0/14: 1")
	if line := pgoutputtest.Describe(pgoutputtest.Tables(), d.tx, &d.tx.Changes[0]); line != "update a: id=1 price=? -> id=1 price=3 [id price other]" {
		t.Errorf("got %s", line)
	}
}

// A relation that every stream describes alike is kept once.
func TestRelationsAreShared(t *testing.T) {
	d := testDecoder()
	decodeAll(t, d, pgoutputtest.Begin(10, 6), pgoutputtest.DescribeA, pgoutputtest.DescribeB, pgoutputtest.Commit(10, 20))
	for xid := range uint32(3) {
		decodeAll(t, d, pgoutputtest.StreamStart(xid, 1), pgoutputtest.InPiece(xid, pgoutputtest.DescribeA), pgoutputtest.InPiece(xid, pgoutputtest.DescribeB), pgoutputtest.StreamStop())
		for oid, rel := range d.streaming.open[xid].relations {
			if rel != d.relations[oid] {
				t.Errorf("transaction %d has its own copy of relation %d", xid, oid)
			}
		}
	}
}

func TestStreamFailsClosed(t *testing.T) {
	open := [][]byte{pgoutputtest.StreamStart(7, 1), pgoutputtest.InPiece(7, pgoutputtest.DescribeA), pgoutputtest.InPiece(7, pgoutputtest.InsertA(1))}
	closed := append(slices.Clone(open), pgoutputtest.StreamStop())
	for name, test := range map[string]struct {
		before [][]byte
		msg    []byte
	}{
		"start inside a stream":         {open, pgoutputtest.StreamStart(8, 1)},
		"start inside a transaction":    {[][]byte{pgoutputtest.Begin(10, 6)}, pgoutputtest.StreamStart(8, 1)},
		"begin inside a stream":         {open, pgoutputtest.Begin(10, 6)},
		"commit of another inside":      {open, pgoutputtest.Commit(10, 20)},
		"commit inside a stream":        {open, pgoutputtest.StreamCommit(7, 10, 20)},
		"abort inside its stream":       {open, pgoutputtest.StreamAbort(7, 7)},
		"started twice":                 {closed, pgoutputtest.StreamStart(7, 1)},
		"goes on without a start":       {closed, pgoutputtest.StreamStart(8, 0)},
		"commits without a start":       {closed, pgoutputtest.StreamCommit(8, 10, 20)},
		"ends early":                    {closed, pgoutputtest.StreamCommit(7, 10, 10)},
		"stops twice":                   {closed, pgoutputtest.StreamStop()},
		"change between pieces":         {closed, pgoutputtest.InsertA(2)},
		"message between pieces":        {closed, pgoutputtest.Message(1, "g")},
		"begin prepare":                 {closed, append([]byte{'b'}, make([]byte, 40)...)},
		"stream prepare":                {closed, append([]byte{'p'}, make([]byte, 40)...)},
		"short start":                   {nil, pgoutputtest.StreamStart(7, 1)[:5]},
		"long start":                    {nil, append(pgoutputtest.StreamStart(7, 1), 0)},
		"long stop":                     {open, append(pgoutputtest.StreamStop(), 0)},
		"short commit":                  {closed, pgoutputtest.StreamCommit(7, 10, 20)[:20]},
		"long commit":                   {closed, append(pgoutputtest.StreamCommit(7, 10, 20), 0)},
		"short abort":                   {closed, pgoutputtest.StreamAbort(7, 7)[:8]},
		"abort with positions":          {closed, append(pgoutputtest.StreamAbort(7, 7), make([]byte, 16)...)},
		"change without its id":         {open, pgoutputtest.InsertA(2)},
		"relation of nobody":            {open, pgoutputtest.InPiece(7, pgoutputtest.Change('I', 5, pgoutputtest.Row([]byte{'N'}, "1")))},
		"relation without end":          {open, pgoutputtest.InPiece(7, pgoutputtest.DescribeA)[:16]},
		"relation that is too long":     {open, pgoutputtest.InPiece(7, append(slices.Clone(pgoutputtest.DescribeA), 0))},
		"nothing but a kind and no id ": {open, []byte{'I', 0}},
	} {
		d := testDecoder()
		decodeAll(t, d, test.before...)
		if committed, err := d.Decode(test.msg); err == nil || committed {
			t.Errorf("%s: committed %t, error %v", name, committed, err)
		}
	}
}

// However many are open, and however much they touch, what is kept fits in
// the room; what doesn't fit is a whole table.
func TestOpenTransactionsFitInTheirRoom(t *testing.T) {
	d := NewDecoder(testSchema(), pgoutputtest.Tables(), 1_000_000)
	d.streaming.room = 64 << 10
	const transactions, pieces, rows = 40, 4, 50
	most := 0
	for piece := range pieces {
		for xid := range uint32(transactions) {
			first := byte(0)
			msgs := [][]byte{nil, pgoutputtest.InPiece(xid, pgoutputtest.DescribeA)}
			if piece == 0 {
				first = 1
			}
			msgs[0] = pgoutputtest.StreamStart(xid, first)
			for i := range rows {
				msgs = append(msgs, pgoutputtest.InPiece(xid, pgoutputtest.InsertA(i)))
			}
			msgs = append(msgs, pgoutputtest.InPiece(xid, pgoutputtest.Message(1, "a b c")), pgoutputtest.StreamStop())
			for _, msg := range msgs {
				if _, err := d.Decode(msg); err != nil {
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
		decodeAll(t, d, pgoutputtest.StreamCommit(xid, uint64(xid)*100+10, uint64(xid)*100+20))
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

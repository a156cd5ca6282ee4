package cdc

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"walpurge/internal/coherence"
)

var codecTables = []coherence.Table{
	{Name: "public.a", Columns: []coherence.Column{{Name: "id", Kind: coherence.Integer}, {Name: "name", Kind: coherence.Text}}},
	{Name: "public.b"},
	{Name: "public.c", Columns: []coherence.Column{{Name: "x", Kind: coherence.Opaque}}},
}

// drawTransaction makes any transaction over codecTables.
func drawTransaction(t *rapid.T) *coherence.Transaction {
	tx := coherence.NewTransaction(codecTables, 1000)
	start := rapid.Uint64Range(1, 1<<62).Draw(t, "start")
	tx.Begin(rapid.Uint32().Draw(t, "xid"), coherence.LSN(start), time.UnixMicro(rapid.Int64Range(-1<<50, 1<<50).Draw(t, "at")))
	table := rapid.Custom(func(t *rapid.T) coherence.TableID { return coherence.TableID(rapid.IntRange(0, 2).Draw(t, "table")) })
	for range rapid.IntRange(0, 3).Draw(t, "groups") {
		tx.Group(rapid.String().Draw(t, "group"))
	}
	for range rapid.IntRange(0, 5).Draw(t, "changes") {
		id := table.Draw(t, "of")
		version := func() []coherence.Value {
			values := make([]coherence.Value, len(codecTables[id].Columns))
			for i := range values {
				values[i].State = coherence.State(rapid.IntRange(0, 2).Draw(t, "state"))
				if values[i].State == coherence.Known {
					values[i].Text = rapid.SliceOf(rapid.Byte()).Draw(t, "text")
				}
			}
			return values
		}
		changed := coherence.ColumnSet(rapid.Uint64().Draw(t, "changed")) & (1<<len(codecTables[id].Columns) - 1 | coherence.OtherColumns)
		switch op := coherence.Op(rapid.IntRange(1, 3).Draw(t, "op")); op {
		case coherence.Insert:
			tx.Append(id, op, nil, version(), coherence.AnyColumn)
		case coherence.Update:
			tx.Append(id, op, version(), version(), changed)
		case coherence.Delete:
			tx.Append(id, op, version(), nil, coherence.AnyColumn)
		}
	}
	for range rapid.IntRange(0, 2).Draw(t, "whole") {
		id := table.Draw(t, "which")
		tx.Whole(id)
		tx.Rows[id][coherence.Truncate]++
	}
	if rapid.IntRange(0, 3).Draw(t, "every group") == 0 {
		tx.EveryGroup()
	}
	tx.Commit(coherence.LSN(start + rapid.Uint64Range(1, 1<<20).Draw(t, "size")))
	return tx
}

// show writes all that a transaction says.
func show(tx *coherence.Transaction) string {
	s := fmt.Sprintf("%d %s %s %d %q %t %v %v\n", tx.XID, tx.Start, tx.End, tx.CommittedAt.UnixMicro(), tx.Groups, tx.IsEveryGroup(), tx.WholeTables(), tx.Rows)
	for i := range tx.Changes {
		c := &tx.Changes[i]
		old, new := tx.Values(c)
		s += fmt.Sprintf("%d %v %x %v %v\n", c.Table, c.Op, c.Changed, old, new)
	}
	return s
}

// TestTransactionsSurviveTheRelay: what is decoded is what was encoded.
func TestTransactionsSurviveTheRelay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var sent []string
		e := &entry{flags: keyframe | begins | answers, epoch: 7, prev: 8, nonce: 9, from: 10, applied: 1 << 63, watermark: 12, reason: "because"}
		e.announced = &announcement{server: server{system: "71", timeline: -3, started: rapid.Int64().Draw(t, "started")}, origin: "s p", fingerprint: "f", tables: codecTables}
		e.answered = rapid.SliceOfN(rapid.Uint64(), 1, lookMost).Draw(t, "answered")
		for range rapid.IntRange(0, 3).Draw(t, "transactions") {
			tx := drawTransaction(t)
			e.transactions = appendTransaction(e.transactions, tx)
			e.count++
			sent = append(sent, show(tx))
		}
		got, err := decodeEntry(e.encode())
		if err != nil {
			t.Fatal(err)
		}
		c := cursor{rest: got.transactions}
		m := newMapping(got.announced.tables, codecTables)
		tx := coherence.NewTransaction(codecTables, 1000)
		for i := range got.count {
			if err := readTransaction(&c, m, tx); err != nil {
				t.Fatal(err)
			}
			if show(tx) != sent[i] {
				t.Fatalf("sent\n%s\ngot\n%s", sent[i], show(tx))
			}
		}
		e.transactions, got.transactions = nil, nil
		if len(c.rest) != 0 || !reflect.DeepEqual(got, e) {
			t.Fatalf("sent %+v\ngot %+v", e, got)
		}
	})
}

// TestLargeTransactionIsRelayedAsWholeTables: the relay's entries stay
// bounded.
func TestLargeTransactionIsRelayedAsWholeTables(t *testing.T) {
	tx := coherence.NewTransaction(codecTables, 1000)
	tx.Begin(1, 1, time.UnixMicro(0))
	text := make([]byte, bulkyBytes/4)
	for range 8 {
		tx.Append(0, coherence.Insert, nil, []coherence.Value{{State: coherence.Null}, {State: coherence.Known, Text: text}}, coherence.AnyColumn)
	}
	tx.Commit(2)
	b := appendTransaction(nil, tx)
	got := coherence.NewTransaction(codecTables, 1000)
	if err := readTransaction(&cursor{rest: b}, newMapping(codecTables, codecTables), got); err != nil {
		t.Fatal(err)
	}
	if len(b) > 100 || len(got.Changes) != 0 || len(got.WholeTables()) != 1 || got.Rows[0][coherence.Insert] != 8 {
		t.Errorf("%d bytes: %s", len(b), show(got))
	}
}

// TestManyGroupsAreRelayedAsEveryGroup: so do they with any number of messages.
func TestManyGroupsAreRelayedAsEveryGroup(t *testing.T) {
	tx := coherence.NewTransaction(codecTables, 1000)
	tx.Begin(1, 1, time.UnixMicro(0))
	most := 0
	for i := range 200_000 {
		tx.Group(fmt.Sprintf("group-%d", i))
		if i%10_000 == 0 {
			most = max(most, len(appendTransaction(nil, tx)))
		}
	}
	tx.Commit(2)
	if b := appendTransaction(nil, tx); len(b) > 100 || !tx.IsEveryGroup() || most > bulkyBytes || most < 100_000 {
		t.Errorf("%d bytes, at most %d: %s", len(b), most, show(tx))
	}
}

// TestMappingBetweenConfigurations: what the leader doesn't watch, or compares
// otherwise, is unknown; a table that it doesn't watch is not covered.
func TestMappingBetweenConfigurations(t *testing.T) {
	leader := []coherence.Table{
		{Name: "public.other", Columns: []coherence.Column{{Name: "z", Kind: coherence.Text}}},
		{Name: "public.a", Columns: []coherence.Column{{Name: "gone", Kind: coherence.Text}, {Name: "name", Kind: coherence.Text}, {Name: "id", Kind: coherence.Numeric}}},
	}
	own := []coherence.Table{{Name: "public.a", Columns: []coherence.Column{
		{Name: "id", Kind: coherence.Integer}, {Name: "name", Kind: coherence.Text}, {Name: "fresh", Kind: coherence.Text},
	}}}
	tx := coherence.NewTransaction(leader, 10)
	tx.Begin(1, 1, time.UnixMicro(0))
	known := func(s string) coherence.Value { return coherence.Value{State: coherence.Known, Text: []byte(s)} }
	tx.Append(0, coherence.Insert, nil, []coherence.Value{known("zz")}, coherence.AnyColumn)
	tx.Append(1, coherence.Update, []coherence.Value{known("g"), known("n"), known("1")}, []coherence.Value{known("h"), known("m"), known("1")}, 1|2)
	tx.Append(1, coherence.Update, []coherence.Value{known("g"), known("n"), known("1")}, []coherence.Value{known("g"), known("n"), known("1")}, coherence.OtherColumns)
	tx.Commit(2)
	m := newMapping(leader, own)
	if !m.covers() || newMapping(leader[:1], own).covers() {
		t.Error("wrong coverage")
	}
	got := coherence.NewTransaction(own, 10)
	if err := readTransaction(&cursor{rest: appendTransaction(nil, tx)}, m, got); err != nil {
		t.Fatal(err)
	}
	if len(got.Changes) != 2 {
		t.Fatal(show(got))
	}
	old, _ := got.Values(&got.Changes[0])
	if old[0].State != coherence.Unknown || string(old[1].Text) != "n" || old[2].State != coherence.Unknown {
		t.Errorf("values %v", old)
	}
	if want := coherence.OtherColumns | 2; got.Changes[0].Changed != want { // gone is not watched here
		t.Errorf("changed %x, want %x", got.Changes[0].Changed, want)
	}
	if want := coherence.OtherColumns | 4; got.Changes[1].Changed != want {
		t.Errorf("changed %x, want %x", got.Changes[1].Changed, want)
	}
}

// FuzzDecodeEntry: whatever Redis returns, decoding ends without a panic.
func FuzzDecodeEntry(f *testing.F) {
	tx := coherence.NewTransaction(codecTables, 10)
	tx.Begin(1, 1, time.UnixMicro(0))
	tx.Group("g")
	tx.Append(0, coherence.Update, []coherence.Value{{}, {State: coherence.Null}}, []coherence.Value{{State: coherence.Known, Text: []byte("1")}, {}}, 1)
	tx.Whole(1)
	tx.Commit(2)
	e := &entry{flags: keyframe | begins, epoch: 1, from: 1, applied: 2, watermark: 1, count: 1, transactions: appendTransaction(nil, tx)}
	e.announced = &announcement{server: server{system: "1"}, tables: codecTables}
	f.Add(e.encode())
	f.Add((&entry{epoch: 1}).encode())
	f.Add((&entry{flags: answers, epoch: 1, answered: []uint64{2, 3}}).encode())
	f.Add([]byte{1})
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := decodeEntry(b)
		if err != nil {
			return
		}
		tables := codecTables
		if e.announced != nil {
			tables = e.announced.tables
		}
		m := newMapping(tables, codecTables)
		tx := coherence.NewTransaction(codecTables, 10)
		c := cursor{rest: e.transactions}
		for range e.count {
			if readTransaction(&c, m, tx) != nil {
				return
			}
		}
	})
}

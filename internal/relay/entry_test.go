package relay

import (
	"encoding/hex"
	"fmt"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"walpurge/internal/coherence"
	"walpurge/internal/wire"
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
		e := &Entry{Begins: true, Epoch: 7, Prev: 8, Nonce: 9, From: 10, Applied: 1 << 63, Watermark: 12, Reason: "because"}
		e.Announced = &Announcement{Server: ServerID{System: "71", Timeline: -3, Started: rapid.Int64().Draw(t, "started")}, Origin: "s p", Fingerprint: "f", Tables: codecTables}
		e.Answered = rapid.SliceOfN(rapid.Uint64(), 1, lookMost).Draw(t, "answered")
		for range rapid.IntRange(0, 3).Draw(t, "transactions") {
			tx := drawTransaction(t)
			e.transactions = appendTransaction(e.transactions, tx)
			e.Count++
			sent = append(sent, show(tx))
		}
		got, err := (&Message{Blob: e.Encode()}).Entry()
		if err != nil {
			t.Fatal(err)
		}
		c := wire.Cursor{Rest: got.transactions}
		m := (&Announcement{Tables: got.Announced.Tables}).Onto(codecTables)
		tx := coherence.NewTransaction(codecTables, 1000)
		for i := range got.Count {
			if err := readTransaction(&c, m, tx); err != nil {
				t.Fatal(err)
			}
			if show(tx) != sent[i] {
				t.Fatalf("sent\n%s\ngot\n%s", sent[i], show(tx))
			}
		}
		e.transactions, got.transactions = nil, nil
		if len(c.Rest) != 0 || !reflect.DeepEqual(got, e) {
			t.Fatalf("sent %+v\ngot %+v", e, got)
		}
	})
}

// TestEncodingOfVersion3: proxies of other builds read what is written here.
// What changes a byte of it needs another version.
func TestEncodingOfVersion3(t *testing.T) {
	tx := coherence.NewTransaction(codecTables, 10)
	tx.Begin(7, 20, time.UnixMicro(1_700_000_000_000_000))
	tx.Group("g")
	tx.Append(0, coherence.Update, []coherence.Value{{}, {State: coherence.Null}}, []coherence.Value{{State: coherence.Known, Text: []byte("1")}, {}}, 1)
	tx.Append(0, coherence.Insert, nil, []coherence.Value{{State: coherence.Known, Text: []byte("2")}, {State: coherence.Null}}, coherence.AnyColumn)
	tx.Whole(2)
	tx.Commit(30)
	for _, test := range []struct {
		entry Entry
		want  string
	}{
		{
			Entry{
				Begins: true, TakesOver: true, Leaves: true, Doubts: true, Epoch: 1, Prev: 2, Nonce: 3, From: 10, Applied: 300, Watermark: 20,
				Announced: &Announcement{Server: ServerID{"71", -3, 1_700_000_000_000_000}, Origin: "s p", Fingerprint: "f", Tables: codecTables},
				Reason:    "start", Answered: []uint64{4, 5}, Count: 1, transactions: appendTransaction(nil, tx),
			},
			"033f0000000000000001000000000000000200000000000000030aac0214" +
				"023731fdffffff0f8080f2818389850603732070016603087075626c69632e610202696401046e616d6508087075626c69632e6200087075626c69632e630101780005" +
				"737461727402000000000000000400000000000000050107141e8080f2818389850602016702000e01000102013100001902013201010202000101000201",
		},
		{Entry{Epoch: 9, Applied: 10, Announced: &Announcement{}}, "0301000000000000000900000000000000000000000000000000000a0000000000000000"},
		{Entry{Epoch: 9, Applied: 10, Begins: true, Reason: "r"}, "0302000000000000000900000000000000000000000000000000000a00017200"},
		{Entry{Epoch: 9, Applied: 10, TakesOver: true}, "0304000000000000000900000000000000000000000000000000000a0000"},
		{Entry{Epoch: 9, Applied: 10, Leaves: true}, "0308000000000000000900000000000000000000000000000000000a0000"},
		{Entry{Epoch: 9, Applied: 10, Leaves: true, Doubts: true, Reason: "redis"}, "0318000000000000000900000000000000000000000000000000000a0005726564697300"},
		{Entry{Epoch: 9, Applied: 10, Answered: []uint64{6}}, "0320000000000000000900000000000000000000000000000000000a0001000000000000000600"},
		{Entry{Epoch: 9, Applied: 10}, "0300000000000000000900000000000000000000000000000000000a0000"},
	} {
		b := test.entry.Encode()
		if got := hex.EncodeToString(b); got != test.want {
			t.Errorf("%+v is encoded as\n%s, want\n%s", test.entry, got, test.want)
		}
		got, err := (&Message{Blob: b}).Entry()
		if err != nil {
			t.Fatal(err)
		}
		got.transactions, test.entry.transactions = nil, nil
		if !reflect.DeepEqual(got, &test.entry) {
			t.Errorf("%+v comes back as %+v", test.entry, got)
		}
	}
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
	if err := readTransaction(&wire.Cursor{Rest: b}, (&Announcement{Tables: codecTables}).Onto(codecTables), got); err != nil {
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
	m := (&Announcement{Tables: leader}).Onto(own)
	if !m.Covers() || (&Announcement{Tables: leader[:1]}).Onto(own).Covers() {
		t.Error("wrong coverage")
	}
	got := coherence.NewTransaction(own, 10)
	if err := readTransaction(&wire.Cursor{Rest: appendTransaction(nil, tx)}, m, got); err != nil {
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

// TestNamesOfOlderLeaders: a process that has been here longer writes names
// without quotes. Where that says which table is meant it is followed, and where
// it may be one of two it isn't.
func TestNamesOfOlderLeaders(t *testing.T) {
	for _, test := range []struct {
		leader, own string
		covers      bool
	}{
		{"public.listings", "public.listings", true},
		{"app.Listings", "app.Listings", true},
		{"public.Price list", `public."Price list"`, true},
		{"public.it's", `public."it's"`, true},
		{"a.b.outbox", `a."b.outbox"`, false},
		{"a.b.outbox", `"a.b".outbox`, false},
		{`a."b.outbox"`, `a."b.outbox"`, true},
		{`a."b.outbox"`, `"a.b".outbox`, false},
	} {
		announced := Announcement{Tables: []coherence.Table{{Name: test.leader}}}
		if got := announced.Onto([]coherence.Table{{Name: test.own}}).Covers(); got != test.covers {
			t.Errorf("%s covers %s: %v", test.leader, test.own, got)
		}
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
	e := &Entry{Begins: true, Epoch: 1, From: 1, Applied: 2, Watermark: 1, Count: 1, transactions: appendTransaction(nil, tx)}
	e.Announced = &Announcement{Server: ServerID{System: "1"}, Tables: codecTables}
	f.Add(e.Encode())
	f.Add((&Entry{Epoch: 1}).Encode())
	f.Add((&Entry{Epoch: 1, Answered: []uint64{2, 3}}).Encode())
	f.Add([]byte{1})
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := (&Message{Blob: b}).Entry()
		if err != nil {
			return
		}
		tables := codecTables
		if e.Announced != nil {
			tables = e.Announced.Tables
		}
		m := (&Announcement{Tables: tables}).Onto(codecTables)
		tx := coherence.NewTransaction(codecTables, 10)
		c := wire.Cursor{Rest: e.transactions}
		for range e.Count {
			if readTransaction(&c, m, tx) != nil {
				return
			}
		}
	})
}

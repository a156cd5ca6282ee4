package pgoutput

import (
	"encoding/binary"
	"testing"

	"walpurge/internal/cdc/pgoutput/pgoutputtest"
	"walpurge/internal/coherence"
)

// testSchema has one table, public.a(id, note, price) with the key id.
func testSchema() *Schema {
	full := map[string]bool{"id": true, "note": true, "price": true}
	return &Schema{
		Relations: []Relation{{
			Name: "public.a", Replident: 'f', Old: Identity{Full: true, Key: full},
			Columns: []Column{{Name: "id", Type: 23}, {Name: "note", Type: 23}, {Name: "price", Type: 23}},
			Watched: []WatchedColumn{{"id", true}, {"price", true}},
		}},
		ByOID: map[uint32]coherence.TableID{1: 0}, ByName: map[string]coherence.TableID{"public.a": 0},
		Partitions: map[uint32]coherence.TableID{}, Others: map[uint32]bool{9: true},
	}
}

func testDecoder() *Decoder { return NewDecoder(testSchema(), pgoutputtest.Tables(), 1000) }

// begun is a decoder inside a transaction, with the relation described.
func begun(t *testing.T) *Decoder {
	t.Helper()
	d := testDecoder()
	for _, msg := range [][]byte{pgoutputtest.Begin(10, 7), pgoutputtest.Relation(1, "public.a", 'f', "*id", "*note", "*price"), pgoutputtest.Relation(9, "public.other", 'd', "*id")} {
		if _, err := d.Decode(msg); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

func TestDecoderFailsClosed(t *testing.T) {
	insert := pgoutputtest.Change('I', 1, pgoutputtest.Row([]byte{'N'}, "1", "2", "3"))
	for name, msg := range map[string][]byte{
		"empty":                   {},
		"unknown message":         {'z', 0, 0},
		"stream start inside":     pgoutputtest.StreamStart(1, 1),
		"begin prepare":           append([]byte{'b'}, make([]byte, 40)...),
		"begin inside":            pgoutputtest.Begin(20, 8),
		"short begin":             pgoutputtest.Begin(20, 8)[:10],
		"another commit":          pgoutputtest.Commit(11, 20),
		"commit that ends early":  pgoutputtest.Commit(10, 10),
		"long commit":             append(pgoutputtest.Commit(10, 20), 0),
		"unknown relation":        pgoutputtest.Change('I', 5, pgoutputtest.Row([]byte{'N'}, "1")),
		"fewer columns":           pgoutputtest.Change('I', 1, pgoutputtest.Row([]byte{'N'}, "1")),
		"more columns":            pgoutputtest.Change('I', 1, pgoutputtest.Row([]byte{'N'}, "1", "2", "3", "4")),
		"more than the message":   insert[:len(insert)-1],
		"less than the message":   append(insert[:len(insert):len(insert)], 0),
		"binary value":            pgoutputtest.Change('I', 1, append([]byte{'N', 0, 3, 'n', 'n', 'b'}, 0, 0, 0, 0)),
		"negative length":         pgoutputtest.Change('I', 1, []byte{'N', 0, 3, 'n', 'n', 't', 0xff, 0xff, 0xff, 0xff}),
		"huge length":             pgoutputtest.Change('I', 1, []byte{'N', 0, 3, 'n', 'n', 't', 0x7f, 0xff, 0xff, 0xff}),
		"old row of an insert":    pgoutputtest.Change('I', 1, pgoutputtest.Row([]byte{'K'}, "1", "2", "3")),
		"update without new":      pgoutputtest.Change('U', 1, pgoutputtest.Row([]byte{'O'}, "1", "2", "3")),
		"delete without old":      pgoutputtest.Change('D', 1, pgoutputtest.Row([]byte{'N'}, "1", "2", "3")),
		"truncate of unknown":     {'T', 0, 0, 0, 1, 0, 0, 0, 0, 5},
		"truncate of too many":    {'T', 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 1},
		"relation without end":    pgoutputtest.Relation(1, "public.a", 'f', "id")[:12],
		"relation of too many":    append(pgoutputtest.Relation(1, "public.a", 'f')[:15], 0xff, 0xff),
		"message without content": append([]byte{'M', 1}, make([]byte, 8)...),
		"message too long":        append(append(append([]byte{'M', 1}, make([]byte, 8)...), "walpurge\x00"...), 0, 0, 0, 9, 'x'),
	} {
		if _, err := begun(t).Decode(msg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	for name, msg := range map[string][]byte{
		"change outside":        pgoutputtest.Change('I', 1, pgoutputtest.Row([]byte{'N'}, "1", "2", "3")),
		"commit outside":        pgoutputtest.Commit(10, 20),
		"transactional outside": append(append(append([]byte{'M', 1}, make([]byte, 8)...), "walpurge\x00"...), 0, 0, 0, 1, 'x'),
	} {
		if _, err := testDecoder().Decode(msg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestDecoderSkips(t *testing.T) {
	d := begun(t)
	for name, msg := range map[string][]byte{
		"stream abort":      pgoutputtest.StreamAbort(1, 5),
		"origin":            append(pgoutputtest.Big64([]byte{'O'}, 5), "name\x00"...),
		"type":              append([]byte{'Y', 0, 0, 0, 1}, "public\x00mood\x00"...),
		"unwatched insert":  pgoutputtest.Change('I', 9, pgoutputtest.Row([]byte{'N'}, "1")),
		"unwatched cut":     {'T', 0, 0, 0, 1, 0, 0, 0, 0, 9},
		"unwatched message": append(append(append([]byte{'M', 1}, make([]byte, 8)...), "else\x00"...), 0, 0, 0, 1, 'x'),
	} {
		if _, err := d.Decode(msg); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if committed, err := d.Decode(pgoutputtest.Commit(10, 20)); !committed || err != nil {
		t.Fatal(committed, err)
	}
	if !d.tx.Empty() || d.tx.XID != 7 || d.tx.Start != 10 || d.tx.End != 20 {
		t.Errorf("the transaction is %+v", d.tx)
	}
}

// A relation that isn't as the catalogue says counts as changed as a whole,
// in this transaction and in each change to come.
func TestForeignRelationIsAWholeTable(t *testing.T) {
	for name, relation := range map[string][]byte{
		"a new column":        pgoutputtest.Relation(1, "public.a", 'f', "*id", "*note", "*price", "*more"),
		"a column gone":       pgoutputtest.Relation(1, "public.a", 'f', "*id", "*price"),
		"a column renamed":    pgoutputtest.Relation(1, "public.a", 'f', "*id", "*notes", "*price"),
		"the table renamed":   pgoutputtest.Relation(1, "public.b", 'f', "*id", "*note", "*price"),
		"another of its name": pgoutputtest.Relation(2, "public.a", 'f', "*id", "*note", "*price"),
	} {
		t.Run(name, func(t *testing.T) {
			d := begun(t)
			if _, err := d.Decode(relation); err != nil {
				t.Fatal(err)
			}
			if !d.suspect || len(d.tx.WholeTables()) != 1 {
				t.Errorf("suspect %t, whole tables %v", d.suspect, d.tx.WholeTables())
			}
			if _, err := d.Decode(pgoutputtest.Commit(10, 20)); err != nil {
				t.Fatal(err)
			}
			if _, err := d.Decode(pgoutputtest.Begin(30, 8)); err != nil {
				t.Fatal(err)
			}
			oid := binary.BigEndian.Uint32(relation[1:])
			values := make([]string, len(d.relations[oid].attributes))
			if _, err := d.Decode(pgoutputtest.Change('I', oid, pgoutputtest.Row([]byte{'N'}, values...))); err != nil {
				t.Fatal(err)
			}
			if len(d.tx.WholeTables()) != 1 || len(d.tx.Changes) != 0 || d.tx.Rows[0][coherence.Insert] != 1 {
				t.Errorf("the next change is %+v", d.tx)
			}
		})
	}
}

func TestNarrowerIdentityInTheStream(t *testing.T) {
	d := begun(t)
	if _, err := d.Decode(pgoutputtest.Relation(1, "public.a", 'd', "*id", "note", "price")); err != nil {
		t.Fatal(err)
	}
	if !d.suspect {
		t.Error("the catalogue is not suspected")
	}
	if _, err := d.Decode(pgoutputtest.Change('D', 1, pgoutputtest.Row([]byte{'K'}, "1", "", ""))); err != nil {
		t.Fatal(err)
	}
	if got := pgoutputtest.Describe(pgoutputtest.Tables(), d.tx, &d.tx.Changes[0]); got != "delete a: id=1 price=?" {
		t.Errorf("got %s", got)
	}
}

package cdc

import (
	"encoding/binary"
	"strings"
	"testing"

	"walpurge/internal/coherence"
)

// big64 appends numbers in the order of the wire.
func big64(b []byte, numbers ...uint64) []byte {
	for _, n := range numbers {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	return b
}

func beginMessage(start uint64, xid uint32) []byte {
	return binary.BigEndian.AppendUint32(big64([]byte{'B'}, start, 0), xid)
}

func commitMessage(start, end uint64) []byte { return big64([]byte{'C', 0}, start, end, 0) }

// relationMessage describes a relation; a column is its name, with a star in
// front if it belongs to the key.
func relationMessage(oid uint32, name string, identity byte, columns ...string) []byte {
	b := binary.BigEndian.AppendUint32([]byte{'R'}, oid)
	schema, table, _ := strings.Cut(name, ".")
	b = append(append(b, schema...), 0)
	b = append(append(b, table...), 0)
	b = binary.BigEndian.AppendUint16(append(b, identity), uint16(len(columns)))
	for _, c := range columns {
		flag := byte(0)
		if c[0] == '*' {
			flag, c = 1, c[1:]
		}
		b = append(append(append(b, flag), c...), 0)
		b = binary.BigEndian.AppendUint32(b, 23)
		b = binary.BigEndian.AppendUint32(b, 0xffffffff)
	}
	return b
}

// row is a tuple; "" is NULL and "~" is an unchanged TOAST value.
func row(b []byte, values ...string) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(len(values)))
	for _, v := range values {
		switch v {
		case "":
			b = append(b, 'n')
		case "~":
			b = append(b, 'u')
		default:
			b = binary.BigEndian.AppendUint32(append(b, 't'), uint32(len(v)))
			b = append(b, v...)
		}
	}
	return b
}

func changeMessage(kind byte, oid uint32, rest []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{kind}, oid), rest...)
}

// testCatalogue has one table, public.a(id, note, price) with the key id.
func testCatalogue() *Catalogue {
	full := map[string]bool{"id": true, "note": true, "price": true}
	return &Catalogue{
		Tables: []coherence.Table{{Name: "public.a"}},
		relations: []relationFacts{{
			name: "public.a", oid: 1, identity: 'f', old: identity{full: true, key: full},
			columns: []columnFacts{{name: "id", typeOID: 23}, {name: "note", typeOID: 23}, {name: "price", typeOID: 23}},
			watched: []watchedColumn{{"id", true}, {"price", true}},
		}},
		byOID: map[uint32]coherence.TableID{1: 0}, byName: map[string]coherence.TableID{"public.a": 0},
		leaves: map[uint32]coherence.TableID{}, others: map[uint32]bool{9: true},
	}
}

func testTables() []coherence.Table {
	return []coherence.Table{{Name: "public.a", Columns: []coherence.Column{{Name: "id", Kind: coherence.Integer}, {Name: "price", Kind: coherence.Integer}}}}
}

func testDecoder() *decoder { return newDecoder(testCatalogue(), testTables(), 1000) }

// begun is a decoder inside a transaction, with the relation described.
func begun(t *testing.T) *decoder {
	t.Helper()
	d := testDecoder()
	for _, msg := range [][]byte{beginMessage(10, 7), relationMessage(1, "public.a", 'f', "*id", "*note", "*price"), relationMessage(9, "public.other", 'd', "*id")} {
		if _, err := d.decode(msg); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

func TestDecoderFailsClosed(t *testing.T) {
	insert := changeMessage('I', 1, row([]byte{'N'}, "1", "2", "3"))
	for name, msg := range map[string][]byte{
		"empty":                   {},
		"unknown message":         {'z', 0, 0},
		"stream start inside":     streamStart(1, 1),
		"begin prepare":           append([]byte{'b'}, make([]byte, 40)...),
		"begin inside":            beginMessage(20, 8),
		"short begin":             beginMessage(20, 8)[:10],
		"another commit":          commitMessage(11, 20),
		"commit that ends early":  commitMessage(10, 10),
		"long commit":             append(commitMessage(10, 20), 0),
		"unknown relation":        changeMessage('I', 5, row([]byte{'N'}, "1")),
		"fewer columns":           changeMessage('I', 1, row([]byte{'N'}, "1")),
		"more columns":            changeMessage('I', 1, row([]byte{'N'}, "1", "2", "3", "4")),
		"more than the message":   insert[:len(insert)-1],
		"less than the message":   append(insert[:len(insert):len(insert)], 0),
		"binary value":            changeMessage('I', 1, append([]byte{'N', 0, 3, 'n', 'n', 'b'}, 0, 0, 0, 0)),
		"negative length":         changeMessage('I', 1, []byte{'N', 0, 3, 'n', 'n', 't', 0xff, 0xff, 0xff, 0xff}),
		"huge length":             changeMessage('I', 1, []byte{'N', 0, 3, 'n', 'n', 't', 0x7f, 0xff, 0xff, 0xff}),
		"old row of an insert":    changeMessage('I', 1, row([]byte{'K'}, "1", "2", "3")),
		"update without new":      changeMessage('U', 1, row([]byte{'O'}, "1", "2", "3")),
		"delete without old":      changeMessage('D', 1, row([]byte{'N'}, "1", "2", "3")),
		"truncate of unknown":     {'T', 0, 0, 0, 1, 0, 0, 0, 0, 5},
		"truncate of too many":    {'T', 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 1},
		"relation without end":    relationMessage(1, "public.a", 'f', "id")[:12],
		"relation of too many":    append(relationMessage(1, "public.a", 'f')[:15], 0xff, 0xff),
		"message without content": append([]byte{'M', 1}, make([]byte, 8)...),
		"message too long":        append(append(append([]byte{'M', 1}, make([]byte, 8)...), "walpurge\x00"...), 0, 0, 0, 9, 'x'),
	} {
		if _, err := begun(t).decode(msg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	for name, msg := range map[string][]byte{
		"change outside":        changeMessage('I', 1, row([]byte{'N'}, "1", "2", "3")),
		"commit outside":        commitMessage(10, 20),
		"transactional outside": append(append(append([]byte{'M', 1}, make([]byte, 8)...), "walpurge\x00"...), 0, 0, 0, 1, 'x'),
	} {
		if _, err := testDecoder().decode(msg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestDecoderSkips(t *testing.T) {
	d := begun(t)
	for name, msg := range map[string][]byte{
		"stream abort":      streamAbort(1, 5),
		"origin":            append(big64([]byte{'O'}, 5), "name\x00"...),
		"type":              append([]byte{'Y', 0, 0, 0, 1}, "public\x00mood\x00"...),
		"unwatched insert":  changeMessage('I', 9, row([]byte{'N'}, "1")),
		"unwatched cut":     {'T', 0, 0, 0, 1, 0, 0, 0, 0, 9},
		"unwatched message": append(append(append([]byte{'M', 1}, make([]byte, 8)...), "else\x00"...), 0, 0, 0, 1, 'x'),
	} {
		if _, err := d.decode(msg); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if committed, err := d.decode(commitMessage(10, 20)); !committed || err != nil {
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
		"a new column":        relationMessage(1, "public.a", 'f', "*id", "*note", "*price", "*more"),
		"a column gone":       relationMessage(1, "public.a", 'f', "*id", "*price"),
		"a column renamed":    relationMessage(1, "public.a", 'f', "*id", "*notes", "*price"),
		"the table renamed":   relationMessage(1, "public.b", 'f', "*id", "*note", "*price"),
		"another of its name": relationMessage(2, "public.a", 'f', "*id", "*note", "*price"),
	} {
		t.Run(name, func(t *testing.T) {
			d := begun(t)
			if _, err := d.decode(relation); err != nil {
				t.Fatal(err)
			}
			if !d.suspect || len(d.tx.WholeTables()) != 1 {
				t.Errorf("suspect %t, whole tables %v", d.suspect, d.tx.WholeTables())
			}
			if _, err := d.decode(commitMessage(10, 20)); err != nil {
				t.Fatal(err)
			}
			if _, err := d.decode(beginMessage(30, 8)); err != nil {
				t.Fatal(err)
			}
			oid := binary.BigEndian.Uint32(relation[1:])
			values := make([]string, len(d.relations[oid].attributes))
			if _, err := d.decode(changeMessage('I', oid, row([]byte{'N'}, values...))); err != nil {
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
	if _, err := d.decode(relationMessage(1, "public.a", 'd', "*id", "note", "price")); err != nil {
		t.Fatal(err)
	}
	if !d.suspect {
		t.Error("the catalogue is not suspected")
	}
	if _, err := d.decode(changeMessage('D', 1, row([]byte{'K'}, "1", "", ""))); err != nil {
		t.Fatal(err)
	}
	if got := describe(testTables(), d.tx, &d.tx.Changes[0]); got != "delete a: id=1 price=?" {
		t.Errorf("got %s", got)
	}
}

// Package pgoutputtest writes messages of pgoutput for tests, as a server
// would, and shows in words what has been made of them. Only tests know it.
package pgoutputtest

import (
	"encoding/binary"
	"fmt"
	"strings"

	"walpurge/internal/coherence"
)

// Big64 appends numbers in the order of the wire.
func Big64(b []byte, numbers ...uint64) []byte {
	for _, n := range numbers {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	return b
}

// Begin is a Begin of a transaction whose commit record starts at start.
func Begin(start uint64, xid uint32) []byte {
	return binary.BigEndian.AppendUint32(Big64([]byte{'B'}, start, 0), xid)
}

// Commit is a Commit of the record from start to end.
func Commit(start, end uint64) []byte { return Big64([]byte{'C', 0}, start, end, 0) }

// Relation is a Relation message of schema.table with integer columns; a column is its name, with a star in
// front if it belongs to the key.
func Relation(oid uint32, name string, identity byte, columns ...string) []byte {
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

// Row is a tuple; "" is NULL and "~" is an unchanged TOAST value.
func Row(b []byte, values ...string) []byte {
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

// Change is an Insert, Update, Delete or Truncate, with what follows the relation's id.
func Change(kind byte, oid uint32, rest []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{kind}, oid), rest...)
}

// Big32 appends numbers in the order of the wire.
func Big32(b []byte, numbers ...uint32) []byte {
	for _, n := range numbers {
		b = binary.BigEndian.AppendUint32(b, n)
	}
	return b
}

// StreamStart is a Stream Start; first is 1 for the transaction's first piece.
func StreamStart(xid uint32, first byte) []byte { return append(Big32([]byte{'S'}, xid), first) }

// StreamStop is a Stream Stop.
func StreamStop() []byte { return []byte{'E'} }

// StreamCommit is a Stream Commit of the record from start to end.
func StreamCommit(xid uint32, start, end uint64) []byte {
	return Big64(append(Big32([]byte{'c'}, xid), 0), start, end, 0)
}

// StreamAbort is a Stream Abort of sub, a part of xid or xid itself.
func StreamAbort(xid, sub uint32) []byte { return Big32([]byte{'A'}, xid, sub) }

// InPiece is msg as it comes between Stream Start and Stream Stop.
func InPiece(xid uint32, msg []byte) []byte {
	return append(Big32([]byte{msg[0]}, xid), msg[1:]...)
}

// The relations 1, which is that of [Tables], and 9, which is not watched.
var (
	DescribeA = Relation(1, "public.a", 'f', "*id", "*note", "*price")
	DescribeB = Relation(9, "public.other", 'd', "*id")
)

// InsertA inserts a row into the relation of DescribeA.
func InsertA(id int) []byte {
	return Change('I', 1, Row([]byte{'N'}, fmt.Sprint(id), "x", fmt.Sprint(id*10)))
}

// Message is a logical message with the prefix walpurge.
func Message(transactional byte, content string) []byte {
	b := append(Big64([]byte{'M', transactional}, 5), "walpurge\x00"...)
	return append(Big32(b, uint32(len(content))), content...)
}

// Tables is public.a(id, price), as a guard knows it.
func Tables() []coherence.Table {
	return []coherence.Table{{Name: "public.a", Columns: []coherence.Column{{Name: "id", Kind: coherence.Integer}, {Name: "price", Kind: coherence.Integer}}}}
}

// Describe writes a change as update t: id=1 city=Lagos price=? -> id=1 … [price].
func Describe(tables []coherence.Table, tx *coherence.Transaction, c *coherence.Change) string {
	table := &tables[c.Table]
	version := func(values []coherence.Value) string {
		parts := make([]string, 0, len(values))
		for i, v := range values {
			text := "?"
			switch v.State {
			case coherence.Null:
				text = "null"
			case coherence.Known:
				text = string(v.Text)
				if len(text) > 20 {
					text = fmt.Sprintf("%s…%d", text[:3], len(text))
				}
			}
			parts = append(parts, table.Columns[i].Name+"="+text)
		}
		return strings.Join(parts, " ")
	}
	old, new := tx.Values(c)
	name := strings.TrimPrefix(table.Name, "public.")
	switch c.Op {
	case coherence.Insert:
		return "insert " + name + ": " + version(new)
	case coherence.Delete:
		return "delete " + name + ": " + version(old)
	}
	var changed []string
	for i := range table.Columns {
		if c.Changed&coherence.ColumnSet(0).With(i) != 0 {
			changed = append(changed, table.Columns[i].Name)
		}
	}
	if c.Changed&coherence.OtherColumns != 0 {
		changed = append(changed, "other")
	}
	return "update " + name + ": " + version(old) + " -> " + version(new) + " [" + strings.Join(changed, " ") + "]"
}

package pgoutput

import (
	"bytes"
	"fmt"

	"walpurge/internal/coherence"
	"walpurge/internal/wire"
)

// datum is one column of a row on the wire: 't' with its text, 'n' for NULL,
// 'u' for a TOAST value that did not change and was not sent. unknown is ours.
type datum struct {
	kind byte
	text []byte
}

const unknown = '?'

// tuple reads a row of rel into dst.
func tuple(c *wire.Cursor, rel *relation, dst []datum) ([]datum, error) {
	n := int(c.Uint16())
	if c.Short {
		return dst, wire.ErrShort
	}
	if n != len(rel.attributes) {
		return dst, fmt.Errorf("a row has %d columns where its relation has %d", n, len(rel.attributes))
	}
	dst = dst[:0]
	for range n {
		v := datum{kind: c.Uint8()}
		switch v.kind {
		case 't':
			v.text = c.Take(int(int32(c.Uint32())))
		case 'n', 'u':
		default:
			if c.Short {
				return dst, wire.ErrShort
			}
			return dst, fmt.Errorf("a value is marked %q", v.kind)
		}
		dst = append(dst, v)
	}
	if c.Short {
		return dst, wire.ErrShort
	}
	return dst, nil
}

// value is what the guard may know of a datum.
func (v datum) value() coherence.Value {
	switch v.kind {
	case 't':
		return coherence.Value{State: coherence.Known, Text: v.text}
	case 'n':
		return coherence.Value{State: coherence.Null}
	}
	return coherence.Value{} // Unknown
}

// differs tells whether v and w may be different values.
func (v datum) differs(w datum) bool {
	if v.kind == 't' && w.kind == 't' {
		return !bytes.Equal(v.text, w.text)
	}
	return v.kind != 'n' || w.kind != 'n'
}

func (d *Decoder) insert(rel *relation) {
	if rel.foreign {
		d.whole(rel, coherence.Insert)
		return
	}
	values := d.newValues[:rel.width]
	clear(values)
	for i := range rel.attributes {
		if a := &rel.attributes[i]; a.wanted {
			values[a.watched] = d.newRow[i].value()
		}
	}
	d.tx.Append(rel.table, coherence.Insert, nil, values, coherence.AnyColumn)
}

func (d *Decoder) remove(rel *relation, marker byte) {
	if rel.foreign {
		d.whole(rel, coherence.Delete)
		return
	}
	values := d.oldValues[:rel.width]
	clear(values)
	exact := marker == 'O' && rel.full
	for i := range rel.attributes {
		if a := &rel.attributes[i]; a.wanted {
			values[a.watched] = a.before(d.oldRow[i], exact).value()
		}
	}
	d.tx.Append(rel.table, coherence.Delete, values, nil, coherence.AnyColumn)
}

// update appends an updated row. marker is 'O' or 'K' when the old row was
// sent, whole or its key, and 0 when it was not because its key is unchanged.
func (d *Decoder) update(rel *relation, marker byte) {
	if rel.foreign {
		d.whole(rel, coherence.Update)
		return
	}
	old, new := d.oldValues[:rel.width], d.newValues[:rel.width]
	clear(old)
	clear(new)
	exact := marker == 'O' && rel.full
	changed := rel.unpublished
	if !exact {
		changed = coherence.AnyColumn
	}
	for i := range rel.attributes {
		a := &rel.attributes[i]
		after := d.newRow[i]
		var before datum
		switch {
		case marker != 0:
			before = a.before(d.oldRow[i], exact)
		case a.key && !rel.full:
			before = after
		default:
			before = datum{kind: unknown}
		}
		if after.kind == 'u' {
			after = before
		} else if exact && before.differs(after) {
			changed |= a.bit
		}
		if a.wanted {
			old[a.watched], new[a.watched] = before.value(), after.value()
		}
	}
	d.tx.Append(rel.table, coherence.Update, old, new, changed)
}

// before is what the old row says of a column. Where only the key was sent,
// the other columns are NULL on the wire and mean nothing.
func (a *attribute) before(v datum, exact bool) datum {
	if v.kind == 'n' && !exact && !a.key {
		return datum{kind: unknown}
	}
	return v
}

// whole records a change to a table whose rows can't be read.
func (d *Decoder) whole(rel *relation, op coherence.Op) {
	d.tx.Rows[rel.table][op]++
	d.tx.Whole(rel.table)
}

package relay

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"walpurge/internal/coherence"
	"walpurge/internal/wire"
)

// Marks of a change.
const (
	markOp  = 1<<2 - 1
	markOld = 1 << 2
	markNew = 1 << 3
	markAny = 1 << 4 // Changed is AnyColumn
)

// appendTransaction encodes tx, whose tables are those of the announcement.
func appendTransaction(b []byte, tx *coherence.Transaction) []byte {
	b = binary.AppendUvarint(b, uint64(tx.XID))
	b = binary.AppendUvarint(b, uint64(tx.Start))
	b = binary.AppendUvarint(b, uint64(tx.End))
	b = binary.AppendVarint(b, tx.CommittedAt.UnixMicro())
	groups := uint64(len(tx.Groups)) + 1
	if tx.IsEveryGroup() {
		groups = 0
	}
	b = binary.AppendUvarint(b, groups)
	for _, g := range tx.Groups {
		b = wire.AppendCounted(b, g)
	}
	whole, start := tx.WholeTables(), len(b)
	b = binary.AppendUvarint(b, uint64(len(tx.Changes)))
	for i := range tx.Changes {
		b = appendChange(b, tx, &tx.Changes[i])
		if len(b)-start > bulkyBytes {
			// Whole tables match more and take less room.
			b = append(b[:start], 0)
			whole = slices.Clone(whole)
			for i := range tx.Changes {
				if t := tx.Changes[i].Table; !slices.Contains(whole, t) {
					whole = append(whole, t)
				}
			}
			break
		}
	}
	b = binary.AppendUvarint(b, uint64(len(whole)))
	for _, t := range whole {
		b = binary.AppendUvarint(b, uint64(t))
	}
	counts := 0
	for t := range tx.Rows {
		for _, n := range tx.Rows[t] {
			if n > 0 {
				counts++
			}
		}
	}
	b = binary.AppendUvarint(b, uint64(counts))
	for t := range tx.Rows {
		for op, n := range tx.Rows[t] {
			if n > 0 {
				b = binary.AppendUvarint(b, uint64(t))
				b = append(b, byte(op))
				b = binary.AppendUvarint(b, uint64(n))
			}
		}
	}
	return b
}

func appendChange(b []byte, tx *coherence.Transaction, c *coherence.Change) []byte {
	old, new := tx.Values(c)
	mark := byte(c.Op)
	if old != nil {
		mark |= markOld
	}
	if new != nil {
		mark |= markNew
	}
	if c.Changed == coherence.AnyColumn {
		mark |= markAny
	}
	b = binary.AppendUvarint(b, uint64(c.Table))
	b = append(b, mark)
	if mark&markAny == 0 {
		b = binary.AppendUvarint(b, uint64(c.Changed))
	}
	for _, version := range [2][]coherence.Value{old, new} {
		for _, v := range version {
			b = append(b, byte(v.State))
			if v.State == coherence.Known {
				b = wire.AppendCounted(b, v.Text)
			}
		}
	}
	return b
}

// readTransaction reads one transaction into tx, whose tables are m's own.
func readTransaction(c *wire.Cursor, m *Mapping, tx *coherence.Transaction) error {
	xid, start, end := c.Uvarint(), position(c), position(c)
	at := c.Varint()
	if c.Short || xid > math.MaxUint32 || end <= start {
		return fmt.Errorf("decode a transaction of the relay: %w", wire.ErrShort)
	}
	tx.Begin(uint32(xid), start, time.UnixMicro(at))
	groups := c.Uvarint()
	if groups == 0 {
		tx.EveryGroup()
	}
	for range max(groups, 1) - 1 {
		if c.Short {
			break
		}
		tx.Group(string(c.Counted()))
	}
	for range c.Uvarint() {
		if c.Short {
			break
		}
		if err := readChange(c, m, tx); err != nil {
			return err
		}
	}
	for range c.Uvarint() {
		if c.Short {
			break
		}
		t, err := m.table(c.Uvarint())
		if err != nil {
			return err
		}
		if t.known {
			tx.Whole(t.id)
		}
	}
	if err := readCounts(c, m, tx); err != nil {
		return err
	}
	if c.Short {
		return fmt.Errorf("decode a transaction of the relay: %w", wire.ErrShort)
	}
	tx.Commit(end)
	return nil
}

// readCounts reads how many rows changed, which is more than the changes that
// were kept.
func readCounts(c *wire.Cursor, m *Mapping, tx *coherence.Transaction) error {
	clear(tx.Rows)
	for range c.Uvarint() {
		if c.Short {
			break
		}
		t, err := m.table(c.Uvarint())
		if err != nil {
			return err
		}
		op, n := coherence.Op(c.Uint8()), c.Uvarint()
		if op < coherence.Insert || op > coherence.Truncate || n > math.MaxInt32 {
			return errors.New("decode a transaction of the relay: unknown operation")
		}
		if t.known {
			tx.Rows[t.id][op] = int(n)
		}
	}
	return nil
}

func readChange(c *wire.Cursor, m *Mapping, tx *coherence.Transaction) error {
	t, err := m.table(c.Uvarint())
	if err != nil {
		return err
	}
	mark := c.Uint8()
	op := coherence.Op(mark & markOp)
	if op == 0 || mark >= markAny<<1 {
		return errors.New("decode a transaction of the relay: unknown operation")
	}
	changed := coherence.AnyColumn
	if mark&markAny == 0 {
		changed = t.changed(coherence.ColumnSet(c.Uvarint()))
	}
	var versions [2][]coherence.Value
	for i, there := range [2]bool{mark&markOld != 0, mark&markNew != 0} {
		if !there {
			continue
		}
		values := m.values[i][:t.width]
		clear(values)
		for _, to := range t.columns {
			v := coherence.Value{State: coherence.State(c.Uint8())}
			if v.State > coherence.Known {
				return errors.New("decode a transaction of the relay: unknown state of a value")
			}
			if v.State == coherence.Known {
				v.Text = c.Counted()
			}
			if to >= 0 {
				values[to] = v
			}
		}
		versions[i] = values
	}
	if c.Short {
		return fmt.Errorf("decode a transaction of the relay: %w", wire.ErrShort)
	}
	if t.known {
		tx.Append(t.id, op, versions[0], versions[1], changed)
	}
	return nil
}

func position(c *wire.Cursor) coherence.LSN { return coherence.LSN(c.Uvarint()) }

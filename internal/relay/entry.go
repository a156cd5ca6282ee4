package cdc

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"walpurge/internal/coherence"
)

// entryFlags say what an entry is besides a batch of transactions.
type entryFlags uint8

const (
	keyframe  entryFlags = 1 << iota // has the announcement: whoever reads may begin here
	begins                           // the first of an epoch
	takesOver                        // the first of a leader's term
	leaves                           // the last of a term: the slot is about to be free
	doubts                           // whoever leads next must start an epoch
	answers                          // the leader has looked at the server anew, and goes on
	knownFlags
)

// relayVersion is of the encoding. An entry of another version is not
// understood, and what is not understood is a gap.
const relayVersion = 3

// entry is one entry of the relay.
//
// INVARIANT: every transaction with watched changes that ends after from and
// at or before applied is in the entry; from is the applied of the entry
// before it; watermark ≤ applied.
type entry struct {
	flags     entryFlags
	epoch     coherence.Epoch
	prev      uint64 // checksum of the entry before
	nonce     uint64 // of the leader's term: no two leaders write the same bytes
	from      coherence.LSN
	applied   coherence.LSN
	watermark coherence.LSN

	announced *announcement // of a keyframe
	reason    string        // of begins and doubts
	answered  []uint64      // of answers: who had asked before it looked

	count        int    // of transactions
	transactions []byte // by appendTransaction, one after the other
}

func (e *entry) encode() []byte {
	b := make([]byte, 0, 64+len(e.transactions))
	b = append(b, relayVersion, byte(e.flags))
	b = binary.BigEndian.AppendUint64(b, uint64(e.epoch))
	b = binary.BigEndian.AppendUint64(b, e.prev)
	b = binary.BigEndian.AppendUint64(b, e.nonce)
	b = binary.AppendUvarint(b, uint64(e.from))
	b = binary.AppendUvarint(b, uint64(e.applied))
	b = binary.AppendUvarint(b, uint64(e.watermark))
	if e.flags&keyframe != 0 {
		b = e.announced.append(b)
	}
	if e.flags&(begins|doubts) != 0 {
		b = appendString(b, e.reason)
	}
	if e.flags&answers != 0 {
		b = binary.AppendUvarint(b, uint64(len(e.answered)))
		for _, id := range e.answered {
			b = binary.BigEndian.AppendUint64(b, id)
		}
	}
	b = binary.AppendUvarint(b, uint64(e.count))
	return append(b, e.transactions...)
}

// decodeEntry reads an entry; its transactions stay encoded and borrow from b.
func decodeEntry(b []byte) (*entry, error) {
	c := cursor{rest: b}
	if v := c.uint8(); v != relayVersion {
		return nil, fmt.Errorf("decode an entry of the relay: version %d is not %d", v, relayVersion)
	}
	e := &entry{flags: entryFlags(c.uint8())}
	e.epoch = coherence.Epoch(c.uint64())
	e.prev, e.nonce = c.uint64(), c.uint64()
	e.from, e.applied, e.watermark = c.lsn(), c.lsn(), c.lsn()
	if e.flags&keyframe != 0 {
		e.announced = readAnnouncement(&c)
	}
	if e.flags&(begins|doubts) != 0 {
		e.reason = string(c.counted())
	}
	if e.flags&answers != 0 {
		for range c.uvarint() {
			if c.short {
				break
			}
			e.answered = append(e.answered, c.uint64())
		}
	}
	n := c.uvarint()
	e.transactions = c.rest
	switch {
	case c.short:
		return nil, fmt.Errorf("decode an entry of the relay: %w", errShort)
	case e.flags >= knownFlags || e.epoch == 0 || e.from > e.applied || e.watermark > e.applied || n > uint64(len(c.rest)):
		return nil, errors.New("decode an entry of the relay: it makes no sense")
	}
	e.count = int(n)
	return e, nil
}

func appendString[T string | []byte](b []byte, s T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func (c *cursor) uvarint() uint64 {
	v, n := binary.Uvarint(c.rest)
	if n <= 0 {
		c.short, c.rest = true, nil
		return 0
	}
	c.rest = c.rest[n:]
	return v
}

func (c *cursor) varint() int64 {
	v, n := binary.Varint(c.rest)
	if n <= 0 {
		c.short, c.rest = true, nil
		return 0
	}
	c.rest = c.rest[n:]
	return v
}

func (c *cursor) lsn() coherence.LSN { return coherence.LSN(c.uvarint()) }

// counted reads what appendString wrote.
func (c *cursor) counted() []byte {
	n := c.uvarint()
	if n > uint64(len(c.rest)) {
		c.short, c.rest = true, nil
		return nil
	}
	return c.take(int(n))
}

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
		b = appendString(b, g)
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
				b = appendString(b, v.Text)
			}
		}
	}
	return b
}

// readTransaction reads one transaction into tx, whose tables are m's own.
func readTransaction(c *cursor, m *mapping, tx *coherence.Transaction) error {
	xid, start, end := c.uvarint(), c.lsn(), c.lsn()
	at := c.varint()
	if c.short || xid > math.MaxUint32 || end <= start {
		return fmt.Errorf("decode a transaction of the relay: %w", errShort)
	}
	tx.Begin(uint32(xid), start, time.UnixMicro(at))
	groups := c.uvarint()
	if groups == 0 {
		tx.EveryGroup()
	}
	for range max(groups, 1) - 1 {
		if c.short {
			break
		}
		tx.Group(string(c.counted()))
	}
	for range c.uvarint() {
		if c.short {
			break
		}
		if err := readChange(c, m, tx); err != nil {
			return err
		}
	}
	for range c.uvarint() {
		if c.short {
			break
		}
		t, err := m.table(c.uvarint())
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
	if c.short {
		return fmt.Errorf("decode a transaction of the relay: %w", errShort)
	}
	tx.Commit(end)
	return nil
}

// readCounts reads how many rows changed, which is more than the changes that
// were kept.
func readCounts(c *cursor, m *mapping, tx *coherence.Transaction) error {
	clear(tx.Rows)
	for range c.uvarint() {
		if c.short {
			break
		}
		t, err := m.table(c.uvarint())
		if err != nil {
			return err
		}
		op, n := coherence.Op(c.uint8()), c.uvarint()
		if op < coherence.Insert || op > coherence.Truncate || n > math.MaxInt32 {
			return errors.New("decode a transaction of the relay: unknown operation")
		}
		if t.known {
			tx.Rows[t.id][op] = int(n)
		}
	}
	return nil
}

func readChange(c *cursor, m *mapping, tx *coherence.Transaction) error {
	t, err := m.table(c.uvarint())
	if err != nil {
		return err
	}
	mark := c.uint8()
	op := coherence.Op(mark & markOp)
	if op == 0 || mark >= markAny<<1 {
		return errors.New("decode a transaction of the relay: unknown operation")
	}
	changed := coherence.AnyColumn
	if mark&markAny == 0 {
		changed = t.changed(coherence.ColumnSet(c.uvarint()))
	}
	var versions [2][]coherence.Value
	for i, there := range [2]bool{mark&markOld != 0, mark&markNew != 0} {
		if !there {
			continue
		}
		values := m.values[i][:t.width]
		clear(values)
		for _, to := range t.columns {
			v := coherence.Value{State: coherence.State(c.uint8())}
			if v.State > coherence.Known {
				return errors.New("decode a transaction of the relay: unknown state of a value")
			}
			if v.State == coherence.Known {
				v.Text = c.counted()
			}
			if to >= 0 {
				values[to] = v
			}
		}
		versions[i] = values
	}
	if c.short {
		return fmt.Errorf("decode a transaction of the relay: %w", errShort)
	}
	if t.known {
		tx.Append(t.id, op, versions[0], versions[1], changed)
	}
	return nil
}

package relay

import (
	"encoding/binary"
	"errors"
	"fmt"

	"walpurge/internal/coherence"
	"walpurge/internal/wire"
)

// version is of the encoding. An entry of another version is not understood,
// and what is not understood is a gap.
const version = 3

// Flags of an encoded entry, in the order of [Entry.flags].
const (
	flagAnnounced = 1 << iota
	flagBegins
	flagTakesOver
	flagLeaves
	flagDoubts
	flagAnswered
	flagsKnown
)

// Entry is one entry of the relay.
//
// INVARIANT: every transaction with watched changes that ends after From and
// at or before Applied is in the entry; From is the Applied of the entry
// before it; Watermark ≤ Applied.
type Entry struct {
	Begins    bool // the first of an epoch
	TakesOver bool // the first of a leader's term
	Leaves    bool // the last of a term: the slot is about to be free
	Doubts    bool // whoever leads next must start an epoch

	Epoch     coherence.Epoch
	Prev      uint64 // checksum of the entry before
	Nonce     uint64 // of the leader's term: no two leaders write the same bytes
	From      coherence.LSN
	Applied   coherence.LSN
	Watermark coherence.LSN

	Announced *Announcement // of a keyframe: whoever reads may begin there
	Reason    string        // of one that begins an epoch, or doubts
	Answered  []uint64      // who had asked for a look at the server; it goes on

	Count        int    // of transactions
	transactions []byte // by appendTransaction, one after the other
}

func (e *Entry) flags() (flags byte) {
	for i, is := range [...]bool{e.Announced != nil, e.Begins, e.TakesOver, e.Leaves, e.Doubts, len(e.Answered) > 0} {
		if is {
			flags |= 1 << i
		}
	}
	return flags
}

// Encode is the entry as it lies in the stream.
func (e *Entry) Encode() []byte {
	b := make([]byte, 0, 64+len(e.transactions))
	b = append(b, version, e.flags())
	b = binary.BigEndian.AppendUint64(b, uint64(e.Epoch))
	b = binary.BigEndian.AppendUint64(b, e.Prev)
	b = binary.BigEndian.AppendUint64(b, e.Nonce)
	b = binary.AppendUvarint(b, uint64(e.From))
	b = binary.AppendUvarint(b, uint64(e.Applied))
	b = binary.AppendUvarint(b, uint64(e.Watermark))
	if e.Announced != nil {
		b = e.Announced.append(b)
	}
	if e.Begins || e.Doubts {
		b = wire.AppendCounted(b, e.Reason)
	}
	if len(e.Answered) > 0 {
		b = binary.AppendUvarint(b, uint64(len(e.Answered)))
		for _, id := range e.Answered {
			b = binary.BigEndian.AppendUint64(b, id)
		}
	}
	b = binary.AppendUvarint(b, uint64(e.Count))
	return append(b, e.transactions...)
}

// Entry is what lies there. Its transactions stay encoded and borrow from m.
func (m *Message) Entry() (*Entry, error) {
	c := wire.Cursor{Rest: m.Blob}
	if v := c.Uint8(); v != version {
		return nil, fmt.Errorf("decode an entry of the relay: version %d is not %d", v, version)
	}
	flags := c.Uint8()
	has := func(flag byte) bool { return flags&flag != 0 }
	e := &Entry{Begins: has(flagBegins), TakesOver: has(flagTakesOver), Leaves: has(flagLeaves), Doubts: has(flagDoubts)}
	e.Epoch = coherence.Epoch(c.Uint64())
	e.Prev, e.Nonce = c.Uint64(), c.Uint64()
	e.From, e.Applied, e.Watermark = position(&c), position(&c), position(&c)
	if has(flagAnnounced) {
		e.Announced = readAnnouncement(&c)
	}
	if has(flagBegins | flagDoubts) {
		e.Reason = string(c.Counted())
	}
	if has(flagAnswered) {
		for range c.Uvarint() {
			if c.Short {
				break
			}
			e.Answered = append(e.Answered, c.Uint64())
		}
	}
	n := c.Uvarint()
	e.transactions = c.Rest
	switch {
	case c.Short:
		return nil, fmt.Errorf("decode an entry of the relay: %w", wire.ErrShort)
	case flags >= flagsKnown || e.Epoch == 0 || e.From > e.Applied || e.Watermark > e.Applied || n > uint64(len(c.Rest)):
		return nil, errors.New("decode an entry of the relay: it makes no sense")
	}
	e.Count = int(n)
	return e, nil
}

// Each reads the entry's transactions one after the other into tx, whose tables
// are m's own, and hands it to apply.
func (e *Entry) Each(m *Mapping, tx *coherence.Transaction, apply func(*coherence.Transaction)) error {
	c := wire.Cursor{Rest: e.transactions}
	for range e.Count {
		if err := readTransaction(&c, m, tx); err != nil {
			return err
		}
		if tx.End > e.Applied {
			return errors.New("a transaction of the relay ends beyond its entry")
		}
		apply(tx)
	}
	if len(c.Rest) > 0 {
		return wire.ErrLong
	}
	return nil
}

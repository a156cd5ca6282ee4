package wal

import (
	"math/rand/v2"
	"testing"

	"walpurge/internal/coherence"
)

// FuzzScan scans arbitrary bytes as a log.
func FuzzScan(f *testing.F) {
	b := newBuilder(f, 0x200_0028)
	b.record(managerHeap, heapInsert, 7, &File{1663, 5}, []byte("row"))
	b.record(managerXact, xactCommit, 7, nil, make([]byte, 8))
	f.Add(uint32(0x28), uint64(1), b.log)
	f.Add(uint32(0), uint64(2), make([]byte, 64))
	f.Fuzz(func(t *testing.T, offset uint32, seed uint64, data []byte) {
		start := 0x200_0000 + coherence.LSN(offset)%(1<<20)
		end := start + coherence.LSN(len(data))
		at := start
		scanner, err := scanAll(b.layout, start, data, seed, func(r *Record) error {
			if r.Start < at || r.End <= r.Start || r.End > (end+align-1)&^(align-1) {
				t.Errorf("a record from %s to %s after %s", r.Start, r.End, at)
			}
			at = r.End
			return nil
		})
		if err == nil && scanner.Next() != end {
			t.Errorf("it stops at %s before %s", scanner.Next(), end)
		}
	})
}

// FuzzRecord gives arbitrary records, sound in themselves, to a Digest: it
// must not panic, and what it keeps stays within its bounds.
func FuzzRecord(f *testing.F) {
	f.Add(byte(managerHeap), byte(heapInsert), uint32(7), uint64(1), []byte("\x00\x00\x00\x00\x01\x00\x00\x00\x05\x00\x00\x00\x07\x00\x00\x00\x00\x00\x00\x00\xff\x03abc"))
	f.Add(byte(managerHeap2), byte(heapMulti), uint32(7), uint64(1), []byte("\x00\x30\x00\x00\x40\x00\x00\x00\x03\x00\x00\x01\x00\x00\x00\x05\x00\x00\x00\x07\x00\x00\x00\x00\x00\x00\x00\xff\x03abc"))
	f.Add(byte(managerXact), byte(xactCommit|xactHasInfo), uint32(7), uint64(2), []byte("\xff\x20\x00\x00\x00\x00\x00\x00\x00\x00\x1f\x01\x00\x00\x05\x00\x00\x00\x05\x00\x00\x00\x01\x00\x00\x00\x07\x00\x00\x00"))
	f.Add(byte(managerMessage), byte(0), uint32(7), uint64(2), []byte("\xff\x22\x05\x00\x00\x00\x01\x00\x00\x00\x09\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00walpurge\x00g"))
	f.Add(byte(managerHeap), byte(heapTruncate), uint32(7), uint64(2), []byte("\xff\x10\x05\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x07\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, manager, info byte, xid uint32, seed uint64, body []byte) {
		b := newBuilder(t, 0x200_0028)
		b.raw(manager, info, xid, body)
		b.raw(manager, info^xactHasInfo, xid+1, body)
		b.record(managerXact, xactCommit, xid, nil, make([]byte, 8))
		rnd := rand.New(rand.NewPCG(seed, 1))
		b.layout.dropped = []int{0, 12, 16}[rnd.IntN(3)]
		digest := NewDigest(b.layout, 5, "walpurge")
		records := 0
		_, err := scanAll(b.layout, b.start, b.log, seed, func(r *Record) error {
			records++
			c, err := digest.Record(r)
			if err != nil {
				return err
			}
			if c != nil && (c.Start != r.Start || c.End != r.End || len(c.Files) > 4*mostFiles) {
				t.Errorf("a commit of %+v", c)
			}
			return nil
		})
		if err == nil && records != 3 && manager != managerLog {
			t.Errorf("%d records", records)
		}
		if len(digest.open) > 2 {
			t.Errorf("%d transactions are open", len(digest.open))
		}
	})
}

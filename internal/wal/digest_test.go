package wal

import "testing"

// TestRecordsOfExtensionsStandForEverything: what they decode to only the
// extension knows.
func TestRecordsOfExtensionsStandForEverything(t *testing.T) {
	b := newBuilder(t, 0x200_0028)
	b.record(managerCustom+12, 0x10, 7, nil, []byte("?"))
	b.record(managerHeap, heapInsert, 8, &File{1663, 5}, []byte("row"))
	b.record(managerCustom, 0, 0, nil, []byte("of no transaction"))
	for xid := range uint32(2) {
		b.record(managerXact, xactCommit, 7+xid, nil, make([]byte, 8))
	}
	digest := NewDigest(b.layout, 5, "walpurge")
	got := make(map[uint32]bool)
	if _, err := scanAll(b.layout, b.start, b.log, 0, func(r *Record) error {
		c, err := digest.Record(r)
		if c != nil {
			got[c.XID] = c.Everything
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || !got[7] || got[8] {
		t.Errorf("commits that may have written to any table: %v", got)
	}
}

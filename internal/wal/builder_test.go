package wal

import (
	"encoding/binary"
	"hash/crc32"
	"testing"

	"walpurge/internal/coherence"
)

// builder writes a log as a server would.
type builder struct {
	layout Layout
	start  coherence.LSN
	log    []byte
	last   coherence.LSN
	flags  uint16 // of the next page, once
}

func newBuilder(t testing.TB, start coherence.LSN) *builder {
	t.Helper()
	layout, err := NewLayout(150000, 8192, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return &builder{layout: layout, start: start}
}

func (b *builder) at() coherence.LSN { return b.start + coherence.LSN(len(b.log)) }

// record appends a record with one block, if there is a file, and main data.
func (b *builder) record(manager, info byte, xid uint32, file *File, main []byte) {
	var body []byte
	if file != nil {
		body = append(body, 0, 0, 0, 0)
		for _, n := range []uint32{file.Space, 5, file.Node, 0} {
			body = binary.LittleEndian.AppendUint32(body, n)
		}
	}
	if len(main) > 255 {
		body = binary.LittleEndian.AppendUint32(append(body, idLong), uint32(len(main)))
	} else if len(main) > 0 {
		body = append(body, idShort, byte(len(main)))
	}
	b.raw(manager, info, xid, append(body, main...))
}

// raw appends a record with what follows its header.
func (b *builder) raw(manager, info byte, xid uint32, body []byte) {
	r := make([]byte, headerSize, headerSize+len(body))
	binary.LittleEndian.PutUint32(r, uint32(headerSize+len(body)))
	binary.LittleEndian.PutUint32(r[4:], xid)
	binary.LittleEndian.PutUint64(r[8:], uint64(b.last))
	r[16], r[managerOffset] = info, manager
	sum := crc32.Update(crc32.Checksum(body, castagnoli), castagnoli, r[:sumOffset])
	binary.LittleEndian.PutUint32(r[sumOffset:], sum)
	r = append(r, body...)
	b.page(0)
	b.last = b.at()
	for len(r) > 0 {
		if b.at()%coherence.LSN(b.layout.page) == 0 {
			b.page(len(r))
		}
		n := min(len(r), b.layout.page-int(b.at()%coherence.LSN(b.layout.page)))
		b.log = append(b.log, r[:n]...)
		r = r[n:]
	}
	for b.at()%align != 0 {
		b.log = append(b.log, 0)
	}
}

// page appends the header of a page, if one begins here, with so many bytes
// left of a record.
func (b *builder) page(left int) {
	if b.at()%coherence.LSN(b.layout.page) != 0 {
		return
	}
	h := make([]byte, b.layout.headerSize(b.at()))
	flags := b.flags
	b.flags = 0
	if left > 0 {
		flags |= continues
	}
	if len(h) == longHeader {
		flags |= long
		binary.LittleEndian.PutUint32(h[32:], uint32(b.layout.segment))
		binary.LittleEndian.PutUint32(h[36:], uint32(b.layout.page))
	}
	binary.LittleEndian.PutUint16(h, b.layout.magic)
	binary.LittleEndian.PutUint16(h[2:], flags)
	binary.LittleEndian.PutUint64(h[8:], uint64(b.at()))
	binary.LittleEndian.PutUint32(h[16:], uint32(left))
	b.log = append(b.log, h...)
}

package wal

import (
	"encoding/binary"
	"fmt"

	"walpurge/internal/coherence"
)

// Page headers: magic 2, flags 2, timeline 4, address 8, bytes that are left of
// the record before 4, padding 4. The first page of a segment goes on with the
// system identifier 8, segment size 4 and page size 4.
const (
	shortHeader = 24
	longHeader  = 40

	continues   = 0x0001 // the page begins with the rest of a record
	long        = 0x0002
	overwritten = 0x0008 // the record before was given up in a crash
	pageFlags   = 0x000F
)

// headerSize is the size of the page header at position at.
func (l *Layout) headerSize(at coherence.LSN) int {
	if at%coherence.LSN(l.segment) == 0 {
		return longHeader
	}
	return shortHeader
}

// pageHeader is what a page header says that a Scanner needs.
type pageHeader struct {
	flags uint16
	left  uint32
}

// header reads and checks the page header at position at.
func (l *Layout) header(at coherence.LSN, b []byte) (pageHeader, error) {
	h := pageHeader{flags: binary.LittleEndian.Uint16(b[2:]), left: binary.LittleEndian.Uint32(b[16:])}
	magic, address := binary.LittleEndian.Uint16(b), coherence.LSN(binary.LittleEndian.Uint64(b[8:]))
	first := len(b) == longHeader
	switch {
	case magic != l.magic:
		return h, fmt.Errorf("the page at %s has the magic number %#x and not %#x", at, magic, l.magic)
	case address != at:
		return h, fmt.Errorf("the page at %s says that it is at %s", at, address)
	case h.flags&^pageFlags != 0, (h.flags&long != 0) != first:
		return h, fmt.Errorf("the page at %s has the flags %#x", at, h.flags)
	case first && (binary.LittleEndian.Uint32(b[32:]) != uint32(l.segment) || binary.LittleEndian.Uint32(b[36:]) != uint32(l.page)):
		return h, fmt.Errorf("the segment at %s has another size of segments or pages", at)
	}
	return h, nil
}

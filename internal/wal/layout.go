package wal

import "fmt"

// Layout is what differs from one server to another.
type Layout struct {
	magic   uint16
	page    int // bytes
	segment int // bytes
	packed  byte
	dropped int // bytes of one item of dropped statistics in a commit record; 0: there are none
}

// Layouts by major version. The bits that mark a compressed image changed with
// PostgreSQL 15, when LZ4 and Zstandard came; an item of dropped statistics grew with 18.
var layouts = map[int]Layout{
	14: {magic: 0xD10D, packed: 0x02},
	15: {magic: 0xD110, packed: 0x04 | 0x08 | 0x10, dropped: 12},
	16: {magic: 0xD113, packed: 0x04 | 0x08 | 0x10, dropped: 12},
	17: {magic: 0xD116, packed: 0x04 | 0x08 | 0x10, dropped: 12},
	18: {magic: 0xD118, packed: 0x04 | 0x08 | 0x10, dropped: 16},
}

// NewLayout is the layout of a server with this server_version_num,
// wal_block_size and wal_segment_size, both in bytes.
func NewLayout(version, page, segment int) (Layout, error) {
	l, ok := layouts[version/10000]
	switch {
	case !ok:
		return l, fmt.Errorf("the log of PostgreSQL %d is laid out in a way that is not known here", version/10000)
	case page < 1<<10 || page > 1<<16 || page&(page-1) != 0 || segment < 1<<20 || segment > 1<<30 || segment&(segment-1) != 0:
		return l, fmt.Errorf("a log with pages of %d and segments of %d bytes", page, segment)
	}
	l.page, l.segment = page, segment
	return l, nil
}

package wal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"walpurge/internal/coherence"
)

// Scanner turns the bytes of the log into records. It starts where a record
// starts, takes bytes in pieces of any size, and keeps no more than the
// beginning of one record.
type Scanner struct {
	layout   Layout
	at       coherence.LSN    // of the next byte
	end      coherence.LSN    // of the last complete record, or of the segment that it filled
	last     coherence.LSN    // where the last complete record starts; 0: there was none
	skipping bool             // to the end of the segment
	header   [longHeader]byte // of the page, as far as it has come
	broken   error            // what ended the scan

	// Of the record that is incomplete.
	start coherence.LSN // 0: there is none
	total int           // its length; 0: not known yet
	got   int           // bytes of it so far
	sum   uint32        // checksum of what follows its header
	head  []byte        // its first bytes

	record Record
}

// NewScanner makes a scanner that starts at start, which must be the start of
// a record.
func NewScanner(layout Layout, start coherence.LSN) *Scanner {
	return &Scanner{layout: layout, at: start, end: start}
}

// Next is the position of the next byte to be scanned.
func (s *Scanner) Next() coherence.LSN { return s.at }

// Position is where the last record ends that is complete: all that ends at
// or before it has been visited.
func (s *Scanner) Position() coherence.LSN { return s.end }

// Bounds of what is kept of a record that lies in several pages. The beginning
// of a heap record says which file it is about; commits and messages have to be whole.
const (
	keptOfMost  = 32 << 10
	keptOfWhole = 4 << 20
	longest     = 1020 << 20 // PostgreSQL makes no longer record
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Scan scans the next bytes and calls visit for every record that they
// complete. The record is valid until visit returns. After an error, visit's or its own,
// a Scanner is of no further use.
func (s *Scanner) Scan(data []byte, visit func(*Record) error) error {
	if s.broken != nil {
		return s.broken
	}
	for len(data) > 0 {
		n, err := s.step(data, visit)
		if err != nil {
			s.broken = err
			return err
		}
		data = data[n:]
		s.at += coherence.LSN(n)
	}
	return nil
}

// step scans what lies in front, and returns how many bytes that is.
func (s *Scanner) step(data []byte, visit func(*Record) error) (int, error) {
	inPage := int(s.at % coherence.LSN(s.layout.page))
	data = data[:min(len(data), s.layout.page-inPage)]
	if s.skipping {
		if at := s.at + coherence.LSN(len(data)); at%coherence.LSN(s.layout.segment) == 0 {
			s.skipping, s.end = false, at
		}
		return len(data), nil
	}
	page := s.at - coherence.LSN(inPage)
	if size := s.layout.headerSize(page); inPage < size {
		n := copy(s.header[inPage:size], data)
		if inPage+n < size {
			return n, nil
		}
		return n, s.turn(page, s.header[:size])
	}
	if s.start == 0 {
		if padding := int(-s.at & (align - 1)); padding > 0 {
			return min(padding, len(data)), nil
		}
		s.start, s.total, s.got, s.sum, s.head = s.at, 0, 0, 0, s.head[:0]
	}
	return s.piece(data, visit)
}

// turn turns to a page whose header is complete.
func (s *Scanner) turn(page coherence.LSN, header []byte) error {
	h, err := s.layout.header(page, header)
	switch {
	case err != nil:
		return err
	case s.start == 0 && h.flags&continues != 0:
		return fmt.Errorf("the page at %s continues a record that has not begun", page)
	case s.start != 0 && h.flags&overwritten != 0:
		s.start = 0 // a crash has cut it off
	case s.start != 0 && (h.flags&continues == 0 || s.total == 0 || int64(h.left) != int64(s.total-s.got)):
		return fmt.Errorf("the page at %s doesn't continue the record at %s", page, s.start)
	}
	return nil
}

// piece takes bytes of a record within one page.
func (s *Scanner) piece(data []byte, visit func(*Record) error) (int, error) {
	if s.got == 0 && len(data) >= headerSize {
		// Most records lie in one page.
		if total := int(binary.LittleEndian.Uint32(data)); total >= headerSize && total <= len(data) {
			s.total, s.sum = total, crc32.Update(0, castagnoli, data[headerSize:total])
			return total, s.complete(data[:total], s.at+coherence.LSN(total), visit)
		}
	}
	n := 0
	if s.got < headerSize {
		n = min(len(data), headerSize-s.got)
		s.head = append(s.head, data[:n]...)
		s.got += n
		if s.got >= 4 && s.total == 0 {
			s.total = int(binary.LittleEndian.Uint32(s.head))
			if s.total < headerSize || s.total > longest {
				return 0, fmt.Errorf("the record at %s has a length of %d", s.start, s.total)
			}
		}
		if s.got < headerSize {
			return n, nil
		}
		data = data[n:]
	}
	more := min(len(data), s.total-s.got)
	s.sum = crc32.Update(s.sum, castagnoli, data[:more])
	if room := kept(s.head[managerOffset]) - len(s.head); room > 0 {
		s.head = append(s.head, data[:min(more, room)]...)
	}
	s.got += more
	if s.got < s.total {
		return n + more, nil
	}
	return n + more, s.complete(s.head, s.at+coherence.LSN(n+more), visit)
}

// errChecksum says that a record is damaged.
var errChecksum = errors.New("its checksum is wrong")

// complete checks the record that data is the beginning of, and that ends at
// end, and hands it over.
func (s *Scanner) complete(data []byte, end coherence.LSN, visit func(*Record) error) error {
	r := &s.record
	previous, sum := r.open(data, s.total)
	switch {
	case crc32.Update(s.sum, castagnoli, data[:sumOffset]) != sum:
		return fmt.Errorf("the record at %s: %w", s.start, errChecksum)
	case s.last != 0 && previous != s.last:
		return fmt.Errorf("the record at %s follows the one at %s and not the one at %s", s.start, previous, s.last)
	}
	r.Start, r.End = s.start, (end+align-1)&^(align-1)
	if err := visit(r); err != nil {
		return fmt.Errorf("the record at %s: %w", s.start, err)
	}
	s.last, s.end, s.start = r.Start, r.End, 0
	if cap(s.head) > 2*keptOfMost {
		s.head = nil // a long one is not the rule
	}
	s.skipping = r.manager == managerLog && r.info == logSwitch && r.End%coherence.LSN(s.layout.segment) != 0
	return nil
}

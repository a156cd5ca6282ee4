package wire

import (
	"bytes"
	"encoding/binary"
	"testing"
)

// TestCursorReadsWhatWasWritten, and from a message that ends anywhere before
// its content does it reads zeros and says so.
func TestCursorReadsWhatWasWritten(t *testing.T) {
	b := []byte{1, 0, 2, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 4, 'z', 0}
	b = binary.AppendUvarint(b, 1<<40)
	b = binary.AppendVarint(b, -1<<40)
	b = AppendCounted(b, "counted")
	b = append(b, 'r', 'e')
	read := func(c *Cursor) bool {
		return c.Uint8() == 1 && c.Uint16() == 2 && c.Uint32() == 3 && c.Uint64() == 4 && string(c.ZString()) == "z" &&
			c.Uvarint() == 1<<40 && c.Varint() == -1<<40 && string(c.Counted()) == "counted" && string(c.Take(2)) == "re"
	}
	c := Cursor{Rest: b}
	if !read(&c) || c.Short || len(c.Rest) != 0 {
		t.Errorf("the whole message: %+v", c)
	}
	for n := range b {
		c := Cursor{Rest: bytes.Clone(b[:n])}
		if read(&c) || !c.Short || c.Uint8() != 0 || c.Uvarint() != 0 || c.Take(1) != nil {
			t.Errorf("%d bytes of the message: %+v", n, c)
		}
	}
	c = Cursor{Rest: []byte{1}}
	if c.Take(-1) != nil || !c.Short {
		t.Error("less than nothing was taken")
	}
}

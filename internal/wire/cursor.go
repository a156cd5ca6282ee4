// Package wire reads binary messages that come from elsewhere and may be cut
// off or damaged: PostgreSQL's and those of the relay.
package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
)

// ErrShort says that a message ended before its content did.
var ErrShort = errors.New("message is too short")

// ErrLong says that something follows the content of a message.
var ErrLong = errors.New("message is too long")

// Cursor reads a message. A read beyond its end gives zeros and is remembered
// in Short, so that one check at the end is enough. What it returns borrows
// from the message.
type Cursor struct {
	Rest  []byte // not read yet
	Short bool
}

// Take is the next n bytes.
func (c *Cursor) Take(n int) []byte {
	if n < 0 || n > len(c.Rest) {
		c.Short, c.Rest = true, nil
		return nil
	}
	b := c.Rest[:n:n]
	c.Rest = c.Rest[n:]
	return b
}

// Uint8 is the next byte.
func (c *Cursor) Uint8() byte {
	if len(c.Rest) < 1 {
		c.Short = true
		return 0
	}
	b := c.Rest[0]
	c.Rest = c.Rest[1:]
	return b
}

// Uint16 is a number of two bytes, the highest first.
func (c *Cursor) Uint16() uint16 {
	if b := c.Take(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

// Uint32 is a number of four bytes, the highest first.
func (c *Cursor) Uint32() uint32 {
	if b := c.Take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

// Uint64 is a number of eight bytes, the highest first.
func (c *Cursor) Uint64() uint64 {
	if b := c.Take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// ZString is a string that ends with a zero byte.
func (c *Cursor) ZString() []byte {
	n := bytes.IndexByte(c.Rest, 0)
	if n < 0 {
		c.Short, c.Rest = true, nil
		return nil
	}
	b := c.Rest[:n:n]
	c.Rest = c.Rest[n+1:]
	return b
}

// Uvarint is a number as [binary.AppendUvarint] writes it.
func (c *Cursor) Uvarint() uint64 {
	v, n := binary.Uvarint(c.Rest)
	if n <= 0 {
		c.Short, c.Rest = true, nil
		return 0
	}
	c.Rest = c.Rest[n:]
	return v
}

// Varint is a number as [binary.AppendVarint] writes it.
func (c *Cursor) Varint() int64 {
	v, n := binary.Varint(c.Rest)
	if n <= 0 {
		c.Short, c.Rest = true, nil
		return 0
	}
	c.Rest = c.Rest[n:]
	return v
}

// Counted is what [AppendCounted] wrote.
func (c *Cursor) Counted() []byte {
	n := c.Uvarint()
	if n > uint64(len(c.Rest)) {
		c.Short, c.Rest = true, nil
		return nil
	}
	return c.Take(int(n))
}

// AppendCounted appends s after its length.
func AppendCounted[T string | []byte](b []byte, s T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

package http1

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"sync"
)

// Body is the body of a request, read as it arrives. The first Read of a
// client that expects it sends 100 Continue (RFC 9110 section 10.1.1). It may
// be read and closed from another goroutine than the handler's.
type Body struct {
	conn    *conn    // nil if there is
	foreign *foreign // another server's side

	mu        sync.Mutex
	left      int64 // of a body of known length, or of the current chunk
	chunked   bool
	inChunk   bool
	extension int           // bytes of chunk extensions so far
	br        *bufio.Reader // of a chunked body
	ended     bool          // the end was seen
	err       error         // sticky
	trailer   []Field
}

var (
	errBodyClosed = errors.New("read request body: closed")
	errChunk      = errors.New("read request body: malformed chunk")
)

// Bounds of what surrounds the data of a chunked body.
const (
	maxChunkLine = 1 << 10
	maxTrailer   = 16 << 10
	maxExtension = 16 << 10 // of all chunks together
)

// Read reads what has arrived.
func (b *Body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return 0, b.err
	}
	if len(p) == 0 {
		return 0, nil
	}
	if b.foreign != nil {
		n, err := b.foreign.read(b, p)
		if b.err = err; err == io.EOF {
			b.ended = true
		}
		return n, err
	}
	if err := b.conn.sendContinue(); err != nil {
		b.err = err
		return 0, err
	}
	n, err := b.read(p)
	if err != nil {
		b.err = err
		b.ended = err == io.EOF
		if b.ended {
			b.conn.startWatch()
		}
	}
	return n, err
}

func (b *Body) read(p []byte) (int, error) {
	if b.chunked {
		return b.readChunk(p)
	}
	if b.left == 0 {
		return 0, io.EOF
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.conn.Read(p)
	b.left -= int64(n)
	switch {
	case b.left == 0:
		// The end is told at once, so that whoever sends the body on can end it.
		return n, io.EOF
	case err == io.EOF:
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func (b *Body) readChunk(p []byte) (int, error) {
	if b.left == 0 {
		if err := b.nextChunk(); err != nil {
			if err == io.EOF && !b.ended {
				err = io.ErrUnexpectedEOF
			}
			return 0, err
		}
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.br.Read(p)
	b.left -= int64(n)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// nextChunk reads a chunk's size, or the trailer section after the last.
func (b *Body) nextChunk() error {
	if b.inChunk {
		if end, err := b.line(2); err != nil || len(end) > 0 {
			return errors.Join(errChunk, err)
		}
		b.inChunk = false
	}
	line, err := b.line(maxChunkLine)
	if err != nil {
		return err
	}
	size, extension, _ := bytes.Cut(line, []byte{';'})
	if b.extension += len(extension); b.extension > maxExtension {
		return errChunk
	}
	if len(size) == 0 || len(size) > 15 {
		return errChunk
	}
	var n int64
	for _, c := range size {
		switch {
		case '0' <= c && c <= '9':
			n = n<<4 | int64(c-'0')
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			n = n<<4 | int64(c|0x20-'a'+10)
		default:
			return errChunk
		}
	}
	if n > 0 {
		b.left, b.inChunk = n, true
		return nil
	}
	if err := b.readTrailer(); err != nil {
		return err
	}
	b.ended = true
	return io.EOF
}

func (b *Body) readTrailer() error {
	for room := maxTrailer; ; {
		line, err := b.line(room)
		if err != nil {
			return err
		}
		if len(line) == 0 {
			return nil
		}
		room -= len(line)
		i := bytes.IndexByte(line, ':')
		if i <= 0 || !IsToken(line[:i]) {
			return errChunk
		}
		line = bytes.Clone(line)
		b.trailer = append(b.trailer, Field{Name: line[:i], Value: trim(line[i+1:]), ID: identify(line[:i])})
	}
}

// line reads a line that ends in CRLF and has no control characters, without
// its end. It is valid until the next read.
func (b *Body) line(room int) ([]byte, error) {
	line, err := b.br.ReadSlice('\n')
	if err != nil {
		if errors.Is(err, bufio.ErrBufferFull) {
			return nil, errChunk
		}
		return nil, err
	}
	if len(line) < 2 || len(line) > room+2 || line[len(line)-2] != '\r' {
		return nil, errChunk
	}
	line = line[:len(line)-2]
	for _, c := range line {
		if !valueByte[c] {
			return nil, errChunk
		}
	}
	return line, nil
}

// Trailer returns the trailer fields once Read has returned io.EOF.
func (b *Body) Trailer() []Field {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.trailer
}

// Close ends reading; what is left is the server's.
func (b *Body) Close() error {
	if b.mu.TryLock() {
		if b.err == nil {
			b.err = errBodyClosed
		}
		b.mu.Unlock()
	}
	return nil
}

// maxDrain is how much of an unread body is read to keep the connection.
const maxDrain = 256 << 10

// finish takes the body back from whoever still reads it and reads what is
// left. It reports whether the connection is at the end of the request.
func (b *Body) finish() bool {
	if !b.mu.TryLock() {
		// A reader waits for the client. It is woken, and its connection ends (H1).
		b.conn.wake()
		b.mu.Lock()
		defer b.mu.Unlock()
		b.err = errBodyClosed
		return false
	}
	defer b.mu.Unlock()
	if b.err == errBodyClosed {
		b.err = nil
	}
	if b.err == nil && b.conn.awaitsContinue() {
		return false
	}
	if b.err == nil && !b.chunked && b.left > maxDrain {
		b.err = errBodyClosed
		return false
	}
	var sink [4096]byte
	for room := maxDrain; b.err == nil && room > 0; {
		n, err := b.read(sink[:])
		room -= n
		if err != nil {
			b.ended = err == io.EOF
			b.err = err
		}
	}
	if b.err == nil {
		b.err = errBodyClosed
	}
	return b.ended
}

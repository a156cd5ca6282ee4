package primary

import (
	"io"
	"net"
	"os"
	"slices"
	"testing"
	"time"
)

// pipe is a TCP connection to ourselves.
func pipe(t *testing.T) (near, far *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	dialled, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = dialled.Close(), accepted.Close() })
	return dialled.(*net.TCPConn), accepted.(*net.TCPConn)
}

// counted counts the reads that give something.
type counted struct {
	r     io.Reader
	reads int
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	if n > 0 {
		c.reads++
	}
	return n, err
}

// What comes in small packets while nobody is in a hurry is read in few and
// large pieces, and all of it, also the last byte.
func TestBulkIsReadInLargePieces(t *testing.T) {
	near, far := pipe(t)
	p := &Pace{}
	p.bulk.Store(true)
	count := &counted{r: near}
	r := &pacedReader{r: count, pace: p, gatherer: newGatherer(near)}
	const packets, size = 20_000, 150
	go func() {
		for range packets {
			if _, err := far.Write(make([]byte, size)); err != nil {
				return
			}
		}
	}()
	buf := make([]byte, readBuffer)
	for got := 0; got < packets*size; {
		n, err := r.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		got += n
	}
	if count.reads > packets/10 {
		t.Errorf("%d reads for %d packets", count.reads, packets)
	}
	// Less than is waited for is there before long, in bulk and after it.
	for _, bulk := range []bool{true, false, true, false} {
		p.bulk.Store(bulk)
		for range 2 * crowdEnds {
			// It comes when the read waits already.
			time.AfterFunc(5*time.Millisecond, func() { _, _ = far.Write([]byte{1}) })
			if err := near.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
				t.Fatal(err)
			}
			if n, err := r.Read(buf); n != 1 || err != nil {
				t.Fatalf("bulk %t: %d bytes, %v", bulk, n, err)
			}
		}
	}
	// A deadline interrupts a read that waits.
	p.bulk.Store(true)
	time.AfterFunc(10*time.Millisecond, func() { _ = near.SetReadDeadline(LongAgo) })
	if _, err := r.Read(buf); !os.IsTimeout(err) {
		t.Errorf("interrupted: %v", err)
	}
}

// A buffer smaller than what has come must not leave the connection waiting
// for more than there is.
func TestSmallReadsInBulk(t *testing.T) {
	near, far := pipe(t)
	p := &Pace{}
	p.bulk.Store(true)
	r := &pacedReader{r: near, pace: p, gatherer: newGatherer(near)}
	sent := make([]byte, 200<<10)
	for i := range sent {
		sent[i] = byte(i * 7)
	}
	go func() { _, _ = far.Write(sent) }()
	var got []byte
	buf := make([]byte, 100)
	for len(got) < len(sent) {
		p.bulk.Store(len(got)%300 != 0)
		if err := near.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
			t.Fatal(err)
		}
		n, err := r.Read(buf)
		if err != nil {
			t.Fatalf("after %d bytes: %v", len(got), err)
		}
		got = append(got, buf[:n]...)
	}
	p.bulk.Store(false)
	time.AfterFunc(5*time.Millisecond, func() { _, _ = far.Write([]byte{1}) })
	if n, err := r.Read(buf); n != 1 || err != nil {
		t.Errorf("the last byte: %d bytes, %v", n, err)
	}
	if !slices.Equal(got, sent) {
		t.Error("what was read is not what was sent")
	}
}

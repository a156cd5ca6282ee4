package primary

import (
	"bufio"
	"io"
	"net"
	"sync/atomic"
	"time"
)

// A server that works off a backlog sends every change in a packet of its
// own. To let packets gather saves most of the reads: 200,000 changes took
// about 1,500 reads instead of 25,000 and more. Every read wakes us and takes
// time from the server that shares the machine: in three alternating runs of
// make bench the backlog went at 0.82 to 1.42 of pg_recvlogical's speed with
// this and at 0.54 to 0.67 without.
const (
	crowd      = 64                   // so many reads
	crowdWidth = 2 * time.Millisecond // within this time are a backlog
	crowdPause = time.Millisecond     // what comes in meanwhile is read at once
	crowdBytes = 4 << 10              // with less than this
	crowdEnds  = 3                    // so many times in a row it is over
)

// Pace says how a connection is to be read.
type Pace struct {
	bulk atomic.Bool // a piece of a large transaction is coming, and is of no use before its end
}

// Bulk says whether a piece of a large transaction is coming.
func (p *Pace) Bulk(is bool) { p.bulk.Store(is) }

// pacedConn is a connection that is read at a pace. It lies below TLS, whose
// reads give one record each, however many have come.
type pacedConn struct {
	net.Conn
	buffer *bufio.Reader
}

func newPacedConn(conn net.Conn, p *Pace) *pacedConn {
	return &pacedConn{conn, bufio.NewReaderSize(&pacedReader{r: conn, pace: p, gatherer: newGatherer(conn)}, readBuffer)}
}

// Read reads what has been gathered.
func (c *pacedConn) Read(b []byte) (int, error) { return c.buffer.Read(b) }

// pacedReader reads a backlog in larger pieces. Ordinary traffic, a few
// transactions each millisecond, it leaves alone.
type pacedReader struct {
	r        io.Reader
	pace     *Pace
	gatherer *gatherer
	reads    int
	since    time.Time // the first of reads
	left     int       // small reads until the backlog counts as over; 0: there is none
}

// Read reads from the connection, in a backlog after a pause in which more
// gathers.
func (p *pacedReader) Read(b []byte) (int, error) {
	if p.left > 0 || p.pace.bulk.Load() {
		p.gatherer.gather(crowdPause)
		n, err := p.r.Read(b)
		if n >= crowdBytes {
			p.left = crowdEnds
		} else {
			p.left = max(p.left-1, 0)
			p.gatherer.calm()
		}
		return n, err
	}
	if p.reads++; p.reads == crowd {
		now := time.Now()
		if now.Sub(p.since) < crowdWidth {
			p.left = crowdEnds
		}
		p.reads, p.since = 0, now
	}
	return p.r.Read(b)
}

package cdc

import (
	"io"
	"time"
)

// A server that works off a backlog sends every change in a packet of its
// own. To let packets gather saves most of the reads: 200,000 changes took
// about 1,500 reads instead of 25,000 and more. Every read wakes us and takes
// time from the server that shares the machine: in three alternating runs of
// make bench the backlog went at 0.82 to 1.42 of pg_recvlogical's speed with
// this and at 0.54 to 0.67 without.
const (
	crowd      = 64                     // so many reads
	crowdWidth = 2 * time.Millisecond   // within this time are a backlog
	crowdPause = 400 * time.Microsecond // what comes in meanwhile is read at once
	crowdBytes = 4 << 10                // with less than this
	crowdEnds  = 3                      // so many times in a row it is over
)

// pacedReader reads a backlog in larger pieces. Ordinary traffic, a few
// transactions each millisecond, it leaves alone.
type pacedReader struct {
	r     io.Reader
	reads int
	since time.Time // the first of reads
	left  int       // small reads until the backlog counts as over; 0: there is none
}

func (p *pacedReader) Read(b []byte) (int, error) {
	if p.left > 0 {
		pause(crowdPause)
		n, err := p.r.Read(b)
		if n >= crowdBytes {
			p.left = crowdEnds
		} else {
			p.left--
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

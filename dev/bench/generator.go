package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"syscall"
	"time"
)

// plan is a load: what is asked, for how long and how fast, and what the answers must be.
type plan struct {
	// rate is how many requests become due in a second, one after the other, whatever the server does; latency counts from
	// the moment at which a request was due (M7). With 0 each connection asks again as soon as it has its answer.
	rate  float64
	span  time.Duration // how long requests are sent; not used when count isn't 0
	count int           // how many requests; 0: as many as span lets

	request func(dst []byte, n int) []byte // appends the n-th request, from 0
	status  int                            // of every answer
	length  int                            // of every body; -1: any
	mark    []byte                         // is in every head; empty: anything may be
	lenient bool                           // heads without the mark are counted, and no error
	judge   func(answer) error             // also decides, if there is one; it sees bodies of up to 64 KiB

	// polite lets the core sleep until the next request is due. It is for loads whose answers are made on the same core.
	polite bool
}

// answer is what a judge sees. The slices are valid until it returns.
type answer struct {
	n     int       // of the request
	began time.Time // when it was sent
	head  []byte
	body  []byte
}

// outcome is what a load has seen. Every answer was as the plan wants it: otherwise there is an error and no outcome.
type outcome struct {
	requests  int64
	unmarked  int64         // answers without the mark, to a lenient plan
	took      time.Duration // until the last answer
	latencies latencies
	waited    time.Duration // of the generator's thread for its core, while others had that
}

// perSecond is the throughput.
func (o *outcome) perSecond() float64 { return float64(o.requests) / o.took.Seconds() }

// generator asks over connections that stay open, from one goroutine.
type generator struct {
	address string
	poller  *poller
	conns   []connection
	idle    ring // indexes of connections without a request under way
	scratch []byte
	out     []byte
}

// connection has at most one request under way: nothing is pipelined.
type connection struct {
	fd        int
	n         int
	due, sent time.Time
	partial   []byte // of an answer whose head, or whose body for a judge, isn't whole yet
	counted   bool   // the head of the answer has been looked at
	body      int    // bytes of a body still to come that nobody looks at
}

// scratchSize is how much is read at once, and the largest answer that a judge can see.
const scratchSize = 128 << 10

// drainPatience bounds the wait for the answers to requests that have been sent.
const drainPatience = 20 * time.Second

// newGenerator connects.
func newGenerator(ctx context.Context, address string, connections int) (g *generator, err error) {
	g = &generator{address: address, scratch: make([]byte, scratchSize), conns: make([]connection, 0, connections)}
	if g.poller, err = newPoller(); err != nil {
		return nil, err
	}
	for i := range connections {
		fd, err := g.poller.connect(address, i)
		if err == nil {
			g.conns = append(g.conns, connection{fd: fd})
			err = ctx.Err()
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("connection %d of %d: %w", i+1, connections, err), g.close())
		}
	}
	return g, nil
}

func (g *generator) close() error {
	for i := range g.conns {
		closeSocket(g.conns[i].fd)
	}
	g.conns = nil
	return g.poller.close()
}

// run is a load. It can be called again, if the one before it succeeded.
func (g *generator) run(ctx context.Context, p *plan) (*outcome, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if p.polite {
		if err := sharpTimers(); err != nil {
			return nil, err
		}
	}
	total := p.count
	if total == 0 && p.rate > 0 {
		total = int(p.rate * p.span.Seconds())
	}
	o := &outcome{latencies: make(latencies, 0, max(total, 1<<16))}
	g.idle.fill(len(g.conns))
	waited, err := threadWaited()
	if err != nil {
		return nil, err
	}

	began := time.Now()
	issued, end, late := 0, began.Add(p.span), time.Time{}
	now := began
	for {
		// What is due is sent, by whoever has been idle for longest.
		open := (total == 0 || issued < total) && (p.count > 0 || p.rate > 0 || now.Before(end))
		for open && g.idle.n > 0 {
			due := now
			if p.rate > 0 {
				if due = p.due(began, issued); due.After(now) {
					break
				}
			}
			if err := g.send(g.idle.pop(), p, issued, due); err != nil {
				return nil, err
			}
			issued++
			open = total == 0 || issued < total
		}
		if !open {
			if g.idle.n == len(g.conns) {
				break
			}
			if late.IsZero() {
				late = now.Add(drainPatience)
			} else if now.After(late) {
				return nil, fmt.Errorf("%d of %d requests had no answer %s after the last was sent", len(g.conns)-g.idle.n, issued, drainPatience)
			}
		}
		ready, err := g.poller.wait(p.pause(began, issued, open, g.idle.n > 0))
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return nil, err
		}
		for i := range ready {
			if err := g.receive(g.poller.ready(i), p, o); err != nil {
				return nil, err
			}
		}
		now = time.Now()
	}
	o.requests = int64(issued)
	o.took = now.Sub(began)
	slices.Sort(o.latencies)
	after, err := threadWaited()
	o.waited = after - waited
	return o, err
}

// due is when the n-th request should be sent.
func (p *plan) due(began time.Time, n int) time.Time {
	return began.Add(time.Duration(float64(n) * 1e9 / p.rate))
}

// pause is how long to wait for answers at most.
func (p *plan) pause(began time.Time, issued int, open, free bool) time.Duration {
	const most = 100 * time.Millisecond
	if !open || !free || p.rate == 0 {
		return most
	}
	pause := min(most, time.Until(p.due(began, issued)))
	if !p.polite && pause < 200*time.Microsecond {
		return 0
	}
	if !p.polite {
		pause -= 100 * time.Microsecond // waits end late
	}
	return pause
}

func (g *generator) send(i int, p *plan, n int, due time.Time) error {
	c := &g.conns[i]
	g.out = p.request(g.out[:0], n)
	c.n, c.due, c.sent = n, due, time.Now()
	wrote, err := rawWrite(c.fd, g.out)
	if err != nil || wrote != len(g.out) {
		return fmt.Errorf("request %d: sent %d of %d bytes: %w", n, wrote, len(g.out), err)
	}
	return nil
}

var errHungUp = errors.New("the server closed the connection")

// dropped tells whether err is that the server has ended a connection, in either way.
func dropped(err error) bool { return errors.Is(err, errHungUp) || errors.Is(err, syscall.ECONNRESET) }

// receive reads what connection i has.
func (g *generator) receive(i int, p *plan, o *outcome) error {
	c := &g.conns[i]
	for {
		held := copy(g.scratch, c.partial)
		read, err := rawRead(c.fd, g.scratch[held:])
		switch {
		case errors.Is(err, errAgain):
			return nil
		case err != nil:
			return fmt.Errorf("request %d: %w", c.n, err)
		case read == 0:
			return fmt.Errorf("request %d: %w", c.n, errHungUp)
		}
		whole, err := c.take(g.scratch[:held+read], p, o)
		if err != nil {
			return fmt.Errorf("request %d: %w", c.n, err)
		}
		if whole {
			o.latencies = append(o.latencies, time.Since(c.due))
			g.idle.push(i)
			return nil
		}
		if held+read < len(g.scratch) {
			return acknowledge(c.fd)
		}
	}
}

var headEnd = []byte("\r\n\r\n")

// take looks at what has come of an answer, and tells whether that is the whole.
func (c *connection) take(text []byte, p *plan, o *outcome) (whole bool, err error) {
	if c.body > 0 {
		c.body -= len(text)
		if c.body < 0 {
			return false, fmt.Errorf("%d bytes more than the answer's length", -c.body)
		}
		return c.body == 0, nil
	}
	size := bytes.Index(text, headEnd)
	if size < 0 {
		c.partial = append(c.partial[:0], text...)
		if len(text) == scratchSize {
			return false, errors.New("a head without an end")
		}
		return false, nil
	}
	head, body := text[:size+2], text[size+4:]
	length, err := p.checkHead(head)
	if err != nil {
		return false, err
	}
	if !c.counted && p.lenient && !bytes.Contains(head, p.mark) {
		o.unmarked++
	}
	c.counted = len(body) < length // this answer is looked at again
	missing := length - len(body)
	if missing < 0 {
		return false, fmt.Errorf("%d bytes more than the answer's length", -missing)
	}
	if missing > 0 && p.judge == nil {
		c.partial, c.body, c.counted = c.partial[:0], missing, false
		return false, nil
	}
	if missing > 0 {
		if len(head)+length > scratchSize/2 {
			return false, fmt.Errorf("a body of %d bytes is too large for a judge", length)
		}
		c.partial = append(c.partial[:0], text...)
		return false, nil
	}
	c.partial = c.partial[:0]
	if p.judge != nil {
		return true, p.judge(answer{n: c.n, began: c.sent, head: head, body: body})
	}
	return true, nil
}

// checkHead compares an answer with the plan and returns the length of its body.
func (p *plan) checkHead(head []byte) (length int, err error) {
	if len(head) < 12 || head[9] != byte('0'+p.status/100) || head[10] != byte('0'+p.status/10%10) || head[11] != byte('0'+p.status%10) {
		return 0, fmt.Errorf("want status %d, got %q", p.status, head)
	}
	if !p.lenient && !bytes.Contains(head, p.mark) {
		return 0, fmt.Errorf("want %q in the head, got %q", p.mark, head)
	}
	if p.status == 304 {
		return 0, nil // whatever Content-Length says, there is no body
	}
	if length = contentLength(head); length < 0 {
		return 0, fmt.Errorf("no Content-Length in %q", head)
	}
	if p.length >= 0 && length != p.length {
		return 0, fmt.Errorf("want a body of %d bytes, got %q", p.length, head)
	}
	return length, nil
}

// contentLength is -1 when the head has none.
func contentLength(head []byte) int {
	at := bytes.Index(head, []byte("\r\nContent-Length: "))
	if at < 0 {
		at = bytes.Index(head, []byte("\r\ncontent-length: "))
	}
	if at < 0 {
		return -1
	}
	length := 0
	for _, digit := range head[at+len("\r\nContent-Length: "):] {
		if digit < '0' || digit > '9' {
			break
		}
		length = length*10 + int(digit-'0')
	}
	return length
}

// ring is a queue of the numbers from 0 to a limit, each in it at most once.
type ring struct {
	items   []int
	head, n int
}

// fill has the ring hold all numbers below n.
func (r *ring) fill(n int) {
	r.items, r.head, r.n = make([]int, n), 0, n
	for i := range r.items {
		r.items[i] = i
	}
}

func (r *ring) push(i int) {
	r.items[(r.head+r.n)%len(r.items)] = i
	r.n++
}

func (r *ring) pop() int {
	i := r.items[r.head]
	r.head = (r.head + 1) % len(r.items)
	r.n--
	return i
}

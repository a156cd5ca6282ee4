package http1

import (
	"sync"
	"time"
)

// watch reads ahead while a handler waits, to notice a client that goes away.
type watch struct {
	done  chan struct{}
	ahead [1]byte
	n     int

	mu     sync.Mutex
	ending bool
	gone   bool
}

// Watch calls gone, from another goroutine and at most once, if the client
// closes the connection before the handler returns. A client that shuts down
// only its sending side counts as gone too. With a request body the watch
// begins when that was read to its end. Whoever watches waits, so it flushes.
func (ex *Exchange) Watch(gone func()) {
	if ex.foreign != nil {
		ex.foreign.watch(gone)
		return
	}
	if !ex.started && ex.c.flush() != nil {
		gone()
		return
	}
	b := &ex.c.body
	b.mu.Lock()
	defer b.mu.Unlock()
	ex.c.gone = gone
	if ex.Body == nil || b.ended {
		ex.c.startWatch()
	}
}

// startWatch begins the watch that was asked for. REQUIRES: c.body.mu held.
func (c *conn) startWatch() {
	if c.gone == nil || c.watch != nil {
		return
	}
	w := &watch{done: make(chan struct{})}
	c.watch = w
	go w.run(c, c.gone)
}

func (w *watch) run(c *conn, gone func()) {
	defer close(w.done)
	n, err := c.net.Read(w.ahead[:])
	w.mu.Lock()
	w.n = n
	w.gone = err != nil && !w.ending
	told := w.gone
	w.mu.Unlock()
	if told {
		gone()
	}
}

// endWatch stops watching and gives the byte that was read ahead back.
func (c *conn) endWatch() {
	if c.gone == nil {
		return // no watch was asked for, the commonest case
	}
	c.body.mu.Lock()
	w := c.watch
	c.gone, c.watch = nil, nil
	c.body.mu.Unlock()
	if w == nil {
		return
	}
	w.mu.Lock()
	w.ending = true
	w.mu.Unlock()
	c.wake()
	<-w.done
	if w.gone {
		c.ex.closing = true
		return
	}
	_ = c.net.SetReadDeadline(time.Time{})
	if w.n == 1 {
		c.push(w.ahead[0])
	}
}

// push appends a byte to the input.
func (c *conn) push(b byte) {
	if c.w == len(c.in) {
		in := make([]byte, len(c.in)+inputSize)
		copy(in, c.in[:c.w])
		c.in = in
	}
	c.in[c.w] = b
	c.w++
}

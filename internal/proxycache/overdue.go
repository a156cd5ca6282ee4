package proxycache

import (
	"net/http"
	"sync"

	"walpurge/internal/upstream"
)

// A fill's time ends its sharing, never the response of those who receive it:
//
//	1 Nobody joins it any more, and who waits for it asks again.
//	2 Who receives its body goes on: the client that caused the fill, and those
//	  who had joined it before.
//	3 It isn't stored. Once its first client is the only one, that gets what is
//	  left unbuffered (see rest).
//	4 It ends when nobody receives it.

// timeUp does so. It is called by the flight's timer.
func (f *Flight) timeUp() {
	f.fills.flights.remove(f)
	f.mu.Lock()
	if f.mu.state.stage > arriving {
		f.mu.Unlock()
		return
	}
	f.mu.state.over = true
	f.wakeAll()
	resp, unwanted := f.mu.body, f.unwanted()
	f.mu.Unlock()
	if resp != nil {
		upstream.GiveBack(resp) // it may last for ever
	}
	if unwanted {
		f.cancel(upstream.ErrOverdue)
	}
}

// unwanted tells whether nobody receives a fill whose time is over. REQUIRES:
// f.mu held.
func (f *Flight) unwanted() bool {
	return f.mu.state.over && f.mu.state.stage <= arriving && f.mu.left && f.mu.receivers == 0
}

// over tells whether the time of a fill that is on its way has passed.
func (f *Flight) over() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mu.state.over
}

// arrives notes that the body of a response comes.
func (f *Flight) arrives(resp *http.Response) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.body = resp
}

// enter makes a joiner one of those who receive the body, if the fill's time
// isn't over. The joiner calls exit when it needs no more of it.
func (f *Flight) enter() (exit func(), ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.mu.state.over {
		return nil, false
	}
	f.mu.receivers++
	return sync.OnceFunc(func() {
		f.mu.Lock()
		f.mu.receivers--
		unwanted := f.unwanted()
		f.mu.Unlock()
		if unwanted {
			f.cancel(errClientGone)
		}
	}), true
}

// leave is called by the leader when it needs the flight no more, or is gone.
func (f *Flight) leave() {
	f.mu.Lock()
	f.mu.left = true
	r, unwanted := f.mu.state.rest, f.unwanted()
	f.mu.Unlock()
	if r != nil {
		r.discard()
	}
	if unwanted {
		f.cancel(errClientGone)
	}
}

// handsOver gives what is left of a response whose time is over to the leader,
// if nobody else receives it. prefix is what has come of it.
func (f *fetch) handsOver(r *rest, prefix []byte) bool {
	f.mu.Lock()
	alone := f.mu.state.over && f.mu.receivers == 0 // and it stays so: nobody enters
	f.mu.Unlock()
	if !alone {
		return false
	}
	f.closeHandle()
	f.fills.discarded(OriginSlow)
	r.prefix = prefix
	f.release(r, OriginSlow)
	return true
}

// watch calls leave when the client goes away, and closes x.gone then. Only the
// first call in an exchange counts. A fill whose time isn't over goes on without
// its clients, so that nobody has to watch before.
func (x *exchange) watch(leave func()) {
	if x.gone != nil {
		return
	}
	gone := make(chan struct{})
	x.gone = gone
	x.Watch(sync.OnceFunc(func() {
		leave()
		close(gone)
	}))
}

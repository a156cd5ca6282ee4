package proxycache

import (
	"net/http"
	"sync"
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
func (f *flight) timeUp() {
	f.proxy.flights.remove(f)
	f.mu.Lock()
	if f.state.stage > arriving {
		f.mu.Unlock()
		return
	}
	f.state.over = true
	close(f.wake)
	f.wake = make(chan struct{})
	resp, unwanted := f.body, f.unwanted()
	f.mu.Unlock()
	if resp != nil {
		giveBack(resp) // it may last for ever
	}
	if unwanted {
		f.cancel(errFillTimeout)
	}
}

// unwanted tells whether nobody receives a fill whose time is over. REQUIRES:
// f.mu held.
func (f *flight) unwanted() bool {
	return f.state.over && f.state.stage <= arriving && f.left && f.receivers == 0
}

// over tells whether the time of a fill that is on its way has passed.
func (f *flight) over() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.state.over
}

// arrives notes that the body of a response comes.
func (f *flight) arrives(resp *http.Response) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.body = resp
}

// enter makes a joiner one of those who receive the body, if the fill's time
// isn't over. The joiner calls exit when it needs no more of it.
func (f *flight) enter() (exit func(), ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.state.over {
		return nil, false
	}
	f.receivers++
	return sync.OnceFunc(func() {
		f.mu.Lock()
		f.receivers--
		unwanted := f.unwanted()
		f.mu.Unlock()
		if unwanted {
			f.cancel(errClientGone)
		}
	}), true
}

// leave is called by the leader when it needs the flight no more, or is gone.
func (f *flight) leave() {
	f.mu.Lock()
	f.left = true
	r, unwanted := f.state.rest, f.unwanted()
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
func (f *flight) handsOver(r *rest, prefix []byte) bool {
	f.mu.Lock()
	alone := f.state.over && f.receivers == 0 // and it stays so: nobody enters
	f.mu.Unlock()
	if !alone {
		return false
	}
	f.closeHandle()
	f.proxy.discarded(OriginSlow)
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

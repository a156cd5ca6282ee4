package fill

import (
	"net/http"
	"sync"

	"walpurge/internal/proxycache/outcome"
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
	f.fills.Flights.remove(f)
	f.mu.Lock()
	if f.mu.state.Stage > Arriving {
		f.mu.Unlock()
		return
	}
	f.mu.state.Over = true
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
	return f.mu.state.Over && f.mu.state.Stage <= Arriving && f.mu.left && f.mu.receivers == 0
}

// over tells whether the time of a fill that is on its way has passed.
func (f *Flight) over() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mu.state.Over
}

// arrives notes that the body of a response comes.
func (f *Flight) arrives(resp *http.Response) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.body = resp
}

// Enter makes a joiner one of those who receive the body, if the fill's time
// isn't over. The joiner calls exit when it needs no more of it.
func (f *Flight) Enter() (exit func(), ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.mu.state.Over {
		return nil, false
	}
	f.mu.receivers++
	return sync.OnceFunc(func() {
		f.mu.Lock()
		f.mu.receivers--
		unwanted := f.unwanted()
		f.mu.Unlock()
		if unwanted {
			f.cancel(ErrClientGone)
		}
	}), true
}

// Leave is called by the leader when it needs the flight no more, or is gone.
func (f *Flight) Leave() {
	f.mu.Lock()
	f.mu.left = true
	r, unwanted := f.mu.state.Rest, f.unwanted()
	f.mu.Unlock()
	if r != nil {
		r.discard()
	}
	if unwanted {
		f.cancel(ErrClientGone)
	}
}

// handsOver gives what is left of a response whose time is over to the leader,
// if nobody else receives it. prefix is what has come of it.
func (f *fetch) handsOver(r *rest, prefix []byte) bool {
	f.mu.Lock()
	alone := f.mu.state.Over && f.mu.receivers == 0 // and it stays so: nobody enters
	f.mu.Unlock()
	if !alone {
		return false
	}
	f.closeHandle()
	f.fills.discarded(outcome.OriginSlow)
	r.Prefix = prefix
	f.release(r, outcome.OriginSlow)
	return true
}

// EndTime ends the time of a fill now, and tells whether it had any left.
func (f *Flight) EndTime() bool {
	if !f.timer.Stop() {
		return false
	}
	f.timeUp()
	return true
}

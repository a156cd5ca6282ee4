package proxycache

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"walpurge/internal/proxycache/fill"
)

// soonOver makes a fill's time be over at once, and nobody wait for another's.
func soonOver(_ *rig, o *Options) { o.FillTimeout, o.JoinTimeout = 20*time.Millisecond, time.Minute }

// overByHand makes it be over when EndTime is called.
func overByHand(_ *rig, o *Options) { o.FillTimeout, o.JoinTimeout = time.Minute, time.Minute }

// EndTime ends the time of the fill that is on its way.
func (r *rig) endTime() {
	r.t.Helper()
	f := r.flight()
	if !f.EndTime() {
		r.t.Fatal("its time is over already")
	}
}

func (r *rig) flight() *fill.Flight {
	r.t.Helper()
	f := r.proxy.fills.Flights.Any()
	if f == nil {
		r.t.Fatal("no fill is on its way")
	}
	return f
}

// pieces answers in pieces, the first at once and each other when it is asked
// for; length -1 announces none.
type pieces struct {
	more    chan string // closed at the end
	gone    chan struct{}
	arrived chan struct{}
}

func newPieces() *pieces {
	return &pieces{more: make(chan string), gone: make(chan struct{}, 8), arrived: make(chan struct{}, 8)}
}

func (p *pieces) serve(length int, fields ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		for _, f := range fields {
			name, value, _ := strings.Cut(f, ": ")
			w.Header().Add(name, value)
		}
		if length >= 0 {
			w.Header().Set("Content-Length", strconv.Itoa(length))
		}
		_, _ = io.WriteString(w, "first.")
		_ = http.NewResponseController(w).Flush()
		p.arrived <- struct{}{}
		for {
			select {
			case piece, ok := <-p.more:
				if !ok {
					return
				}
				_, _ = io.WriteString(w, piece)
				_ = http.NewResponseController(w).Flush()
			case <-req.Context().Done():
				p.gone <- struct{}{}
				return
			}
		}
	}
}

// send has the origin send a piece.
func (p *pieces) send(t *testing.T, piece string) {
	t.Helper()
	select {
	case p.more <- piece:
	case <-p.gone:
		t.Fatal("the request to the origin has ended")
	case <-time.After(10 * time.Second):
		t.Fatal("the origin sends nothing")
	}
}

// ended waits until the request to the origin has ended.
func (p *pieces) ended(t *testing.T) {
	t.Helper()
	select {
	case <-p.gone:
	case <-time.After(10 * time.Second):
		t.Fatal("the origin still works for nobody")
	}
}

// incoming is a response whose body comes.
type incoming struct {
	*http.Response
	t      testing.TB
	cancel context.CancelFunc
}

// open sends a request and returns with the head of its response.
func (r *rig) open(path string, fields ...string) *incoming {
	r.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r.t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url+path, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, f := range fields {
		name, value, _ := strings.Cut(f, ": ")
		req.Header.Add(name, value)
	}
	resp, err := r.client.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = resp.Body.Close() })
	return &incoming{resp, r.t, cancel}
}

// read reads what is expected to come next.
func (i *incoming) read(want string) {
	i.t.Helper()
	got := make([]byte, len(want))
	if n, err := io.ReadFull(i.Body, got); err != nil || string(got) != want {
		i.t.Fatalf("%q and %v, want %q", got[:n], err, want)
	}
}

// end reads the rest, which has to be as expected and whole.
func (i *incoming) end(want string) {
	i.t.Helper()
	if rest, err := io.ReadAll(i.Body); err != nil || string(rest) != want {
		i.t.Fatalf("%q and %v, want %q", rest, err, want)
	}
}

// over waits until the fill that is on its way is shared no more.
func (r *rig) over() {
	r.t.Helper()
	r.eventually("the fill's time is over", func() bool { return r.flying() == 0 })
}

// idle fails unless nothing of a fill is left.
func (r *rig) idle() {
	r.t.Helper()
	r.eventually("nothing is left of the fill", func() bool {
		return r.guard.Handles() == 0 && r.proxy.upstream.Taken() == 0 && r.proxy.memory.Entries() == 0
	})
}

// fill_timeout ends the sharing of a fill. The client that caused it gets the
// response to its end, whatever the protocol, announced or not.
func TestFillTimeoutEndsNoResponse(t *testing.T) {
	for _, protocol := range protocols {
		for _, length := range []int{-1, 6 + 5*7 + 4} {
			for _, path := range []string{"/api/listings/1", "/plain/a"} {
				t.Run(fmt.Sprint(protocol, length, path), func(t *testing.T) {
					r := newProtocolRig(t, protocol, func(r *rig, o *Options) {
						soonOver(r, o)
						o.Origin.Concurrency = 4
					})
					p := newPieces()
					r.answer(p.serve(length, "Cache-Control: max-age=60"))
					got := r.open(path)
					got.read("first.")
					r.over()
					for n := range 5 {
						p.send(t, fmt.Sprintf("piece%d.", n))
						got.read(fmt.Sprintf("piece%d.", n))
					}
					p.send(t, "last")
					close(p.more)
					got.end("last")
					r.idle()
				})
			}
		}
	}
}

// A body that is larger than what may be kept, in slow pieces.
func TestFillTimeoutEndsNoLargeResponse(t *testing.T) {
	const piece, n = 256 << 10, 12
	for _, length := range []int{-1, 6 + n*piece} {
		r := newRig(t, soonOver)
		p := newPieces()
		r.answer(p.serve(length))
		got := r.open("/api/listings/1")
		got.read("first.")
		for i := range n {
			if i == 2 && length < 0 {
				r.over()
			}
			s := strings.Repeat(strconv.Itoa(i%10), piece)
			p.send(t, s)
			got.read(s)
		}
		close(p.more)
		got.end("")
		r.idle()
	}
}

// Who has joined and receives an announced body gets it whole, too; who comes
// later asks for itself.
func TestFillTimeoutCutsNoJoiner(t *testing.T) {
	r := newRig(t, overByHand)
	p := newPieces()
	r.answer(p.serve(len("first.second.last")))
	leader := r.open("/api/listings/1")
	leader.read("first.")
	joiner := r.open("/api/listings/1")
	joiner.read("first.")
	if !strings.Contains(joiner.Header.Get("Cache-Status"), "collapsed") {
		t.Fatal(joiner.Header)
	}
	r.endTime()
	p.send(t, "second.")
	leader.read("second.")
	joiner.read("second.")
	r.say("new")
	r.want(r.get("/api/listings/1"), "new", "walpurge; fwd=uri-miss; fwd-status=200; stored")
	p.send(t, "last")
	leader.end("last")
	joiner.end("last")
	r.want(r.get("/api/listings/1"), "new", "walpurge; hit")
}

// The one who caused the fill may leave: the others go on, and with the last
// of them the request ends.
func TestFillTimeoutLeavesTheRequestToThoseWhoReceive(t *testing.T) {
	for _, first := range []string{"the leader", "the joiner"} {
		for _, rest := range []string{"to the end", "leaves"} {
			t.Run(first+" leaves, the other "+rest, func(t *testing.T) {
				r := newRig(t, overByHand)
				p := newPieces()
				r.answer(p.serve(len("first.last")))
				leaves := r.open("/api/listings/1")
				leaves.read("first.")
				stays := r.open("/api/listings/1")
				stays.read("first.")
				if first == "the joiner" {
					leaves, stays = stays, leaves
				}
				r.endTime()
				leaves.cancel()
				r.eventually("the connection has ended", func() bool { return r.proxy.clients.Connections() == 1 })
				if rest == "leaves" {
					stays.cancel()
					p.ended(t)
				} else {
					p.send(t, "last")
					stays.end("last")
				}
				r.idle()
			})
		}
	}
}

// Nobody is there for it when its time is over, or later: it ends.
func TestFillTimeoutEndsWhatNobodyReceives(t *testing.T) {
	for _, protocol := range protocols {
		for _, before := range []bool{true, false} {
			for _, length := range []int{-1, 1 << 20} {
				t.Run(fmt.Sprint(protocol, before, length), func(t *testing.T) {
					r := newProtocolRig(t, protocol, overByHand)
					p := newPieces()
					r.answer(p.serve(length))
					got := r.open("/api/listings/1")
					got.read("first.")
					if before {
						f := r.flight()
						got.cancel()
						sent := len("first.")
						r.eventually("the client's end is noticed", func() bool {
							left := f.LeaderGone()
							if !left { // only a write shows it
								p.send(t, "more.")
								sent += len("more.")
							}
							return left
						})
						// Nothing is on its way that would show that nobody is there.
						r.eventually("all has arrived", func() bool { s, _ := f.Look(); return len(s.Body) == sent })
						r.endTime()
					} else {
						r.endTime()
						got.cancel()
					}
					p.ended(t)
					r.idle()
				})
			}
		}
	}
}

// The leader is still busy with what had come before when it is handed what is
// left: if it leaves then, nobody takes that.
func TestFillTimeoutEndsWhatItsLeaderNeverTakes(t *testing.T) {
	r := newRig(t, func(r *rig, o *Options) { overByHand(r, o); o.MaxObject = 32 << 20 })
	p := newPieces()
	r.answer(p.serve(-1))
	got := r.open("/api/listings/1")
	f := r.flight()
	much := strings.Repeat("0123456789abcdef", 1<<20) // more than sockets hold
	p.send(t, much)
	r.eventually("it has arrived", func() bool { s, _ := f.Look(); return len(s.Body) == len("first.")+len(much) })
	r.endTime()
	p.send(t, "more.")
	r.eventually("what is left is handed over", func() bool { s, _ := f.Look(); return s.Stage == fill.Released })
	got.cancel()
	p.ended(t)
	r.idle()
}

// Who waits for a body of unknown length, or for a head, asks again when the
// time is over, and is no longer held up.
func TestFillTimeoutReleasesWhoWaits(t *testing.T) {
	t.Run("for the end", func(t *testing.T) {
		r := newRig(t, overByHand)
		p := newPieces()
		r.answer(p.serve(-1))
		leader := r.open("/api/listings/1")
		leader.read("first.")
		r.say("quick")
		go func() {
			r.eventually("the others have joined", func() bool { _, joined := r.proxy.fills.Flights.Count(); return joined == 4 })
			r.endTime()
		}()
		for _, got := range r.together(4, "/api/listings/1") {
			if got.body != "quick" {
				t.Error(got.body, got.cacheStatus())
			}
		}
		p.send(t, "last")
		close(p.more)
		leader.end("last")
		r.want(r.get("/api/listings/1"), "quick", "walpurge; hit")
	})
	t.Run("for the head", func(t *testing.T) {
		r := newRig(t, soonOver)
		g := newGate()
		r.answer(func(w http.ResponseWriter, _ *http.Request) {
			g.pass()
			_, _ = io.WriteString(w, "late")
		})
		leader := make(chan reply)
		go func() {
			got, err := r.try("GET", "/api/listings/1", nil)
			if err != nil {
				t.Error(err)
			}
			leader <- got
		}()
		r.eventually("the first is at the origin", func() bool { return g.arrived.Load() == 1 })
		r.say("quick")
		r.want(r.get("/api/listings/1"), "quick", "walpurge; fwd=uri-miss; fwd-status=200; stored")
		close(g.open)
		r.want(<-leader, "late", "walpurge; fwd=uri-miss; fwd-status=200; detail=timeout")
		r.want(r.get("/api/listings/1"), "quick", "walpurge; hit")
	})
}

// How fast a client reads is no matter of the fill.
func TestFillTimeoutWaitsForSlowReaders(t *testing.T) {
	r := newRig(t, func(r *rig, o *Options) { soonOver(r, o); o.MaxObject = 32 << 20 })
	body := strings.Repeat("0123456789abcdef", 1<<20) // more than sockets hold
	r.say(body)
	c := r.dial()
	c.send("GET /api/listings/1 HTTP/1.1\r\nHost: " + strings.TrimPrefix(r.url, "http://") + "\r\n\r\n")
	r.eventually("the fill is over", func() bool { return r.asked() == 1 && r.flying() == 0 })
	if got := c.read("GET"); got.body != body {
		t.Fatalf("%d bytes of %d", len(got.body), len(body))
	}
}

func TestOriginTimeoutIs504(t *testing.T) {
	r := newRig(t, func(r *rig, o *Options) { soonOver(r, o); o.Origin.Timeout = 100 * time.Millisecond })
	release := make(chan struct{})
	defer close(release)
	r.answer(func(http.ResponseWriter, *http.Request) { <-release })
	got := r.get("/api/listings/1")
	if got.StatusCode != 504 || got.Header.Get("Content-Type") != "application/problem+json" || !strings.Contains(got.cacheStatus(), "detail=timeout") {
		t.Fatal(got.Status, got.Header)
	}
	if r.guard.Handles() != 0 || r.flying() != 0 {
		t.Fatal("the flight is still there")
	}
}

// A proxy that stops doesn't wait longer for such a response than for others.
func TestProxyStopsBesideAResponseWhoseFillIsOver(t *testing.T) {
	for _, length := range []int{-1, 100} {
		r := newRig(t, soonOver)
		p := newPieces()
		r.answer(p.serve(length))
		r.open("/api/listings/1").read("first.")
		r.over()
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		defer cancel()
		_ = r.proxy.Close(ctx)
		p.ended(t)
	}
}

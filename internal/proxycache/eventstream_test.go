package proxycache

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// Streams of events are passed from their head on, each event as it comes, and
// whoever asks for the same has a stream of its own at once.
func TestStreamsArePassedFromTheirHeadOn(t *testing.T) {
	types := []string{
		"text/event-stream", "Text/Event-Stream; charset=utf-8", "multipart/x-mixed-replace; boundary=frame", "application/x-ndjson",
		"application/stream+json", "application/json-seq", "application/geo+json-seq", "application/jsonl", "application/grpc", "application/grpc-web+proto",
	}
	for _, protocol := range protocols {
		for i, mediaType := range types {
			if i > 0 && protocol != protocols[0] {
				break
			}
			for _, path := range []string{"/api/listings/1", "/plain/a"} {
				t.Run(fmt.Sprint(protocol, mediaType, path), func(t *testing.T) {
					r := newProtocolRig(t, protocol, func(r *rig, o *Options) {
						soonOver(r, o)
						ttl := time.Hour
						o.Routes[2].TTL = &ttl
					})
					one, two := newPieces(), newPieces()
					r.answer(one.serve(-1, "Content-Type: "+mediaType))
					first := r.open(path)
					first.read("first.")
					r.answer(two.serve(-1, "Content-Type: "+mediaType))
					second := r.open(path)
					second.read("first.") // before the first has ended
					for _, i := range []*incoming{first, second} {
						if cs := i.Header.Get("Cache-Status"); strings.Contains(cs, "stored") || strings.Contains(cs, "collapsed") {
							t.Fatal(cs)
						}
					}
					for n := range 3 {
						event := fmt.Sprintf("event%d.", n)
						one.send(t, event)
						first.read(event)
						two.send(t, "other."+event)
						second.read("other." + event)
					}
					close(one.more)
					close(two.more)
					first.end("")
					second.end("")
					r.idle()
				})
			}
		}
	}
}

// An origin may keep the head until there is something to say. Who asks for
// nothing but a stream waits for nobody else's.
func TestWhoWantsAStreamWaitsForNobody(t *testing.T) {
	r := newRig(t, func(r *rig, o *Options) { soonOver(r, o); o.FillTimeout = time.Minute })
	g := newGate()
	r.answer(func(w http.ResponseWriter, _ *http.Request) {
		g.pass()
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "data: x\n\n")
	})
	go func() {
		r.eventually("both are at the origin", func() bool { return g.arrived.Load() == 2 })
		close(g.open)
	}()
	for _, got := range r.together(2, "/api/listings/1", "Accept: text/event-stream") {
		r.want(got, "data: x\n\n", "walpurge; fwd=uri-miss; fwd-status=200; detail=stream")
	}
}

// Whoever had joined is let go by the head.
func TestJoinersOfAStreamAreReleasedAtItsHead(t *testing.T) {
	r := newRig(t, func(r *rig, o *Options) { soonOver(r, o); o.FillTimeout = time.Minute })
	head := make(chan struct{})
	p := newPieces()
	stream := p.serve(-1, "Content-Type: text/event-stream")
	r.answer(func(w http.ResponseWriter, req *http.Request) {
		<-head
		stream(w, req)
	})
	go func() {
		r.eventually("the others have joined", func() bool { _, joined := r.proxy.fills.Flights.Count(); return joined == 3 })
		close(head)
		for range 4 {
			<-p.arrived // all of them, though none has ended
		}
		close(p.more)
	}()
	for _, got := range r.together(4, "/api/listings/1") {
		if got.body != "first." {
			t.Error(got.body)
		}
	}
}

// What ends where it says isn't taken for a stream.
func TestLinesOfKnownLengthAreKept(t *testing.T) {
	for mediaType, kept := range map[string]bool{
		"application/x-ndjson": true, "application/json-seq": true, "application/json": true, "application/grpc-docs": true, "text/event-streams": true,
		"text/event-stream": false, "multipart/x-mixed-replace;boundary=x": false,
	} {
		r := newRig(t, nil)
		r.say("{}\n", "Content-Type: "+mediaType, "Content-Length: 3")
		r.get("/api/listings/1")
		if got := r.get("/api/listings/1"); strings.Contains(got.cacheStatus(), "hit") != kept {
			t.Errorf("%s: %s", mediaType, got.cacheStatus())
		}
	}
}

// A part that was asked for may be one of a stream.
func TestStreamIsNotKeptWhileItPasses(t *testing.T) {
	r := newRig(t, plainHTTP)
	r.say("data: x\n\n", "Content-Type: text/event-stream", "Cache-Control: max-age=60")
	r.get("/a", "Range: bytes=0-3")
	if got := r.get("/a"); got.body != "data: x\n\n" || strings.Contains(got.cacheStatus(), "hit") || r.proxy.memory.Entries() != 0 {
		t.Error(got.body, got.cacheStatus())
	}
}

// What the origin sends after the body of a stream arrives.
func TestRFC9110Section6_5_1TrailersOfAStream(t *testing.T) {
	r := newRig(t, soonOver)
	g := newGate()
	r.answer(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/grpc-web")
		w.Header().Set("Trailer", "Grpc-Status")
		_, _ = io.WriteString(w, "first.")
		_ = http.NewResponseController(w).Flush()
		g.pass()
		w.Header().Set("Grpc-Status", "0")
	})
	got := r.open("/api/listings/1")
	got.read("first.")
	close(g.open)
	got.end("")
	if got.Trailer.Get("Grpc-Status") != "0" {
		t.Error(got.Trailer)
	}
}

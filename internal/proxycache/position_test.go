package proxycache

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"walpurge/internal/coherence"
	"walpurge/internal/expr"
	"walpurge/internal/proxycache/position"
	"walpurge/internal/proxycache/route"
)

func TestPositionRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := coherence.Position{Epoch: coherence.Epoch(rapid.Uint64().Draw(t, "epoch")), LSN: coherence.LSN(rapid.Uint64().Draw(t, "lsn"))}
		back, err := coherence.ParsePosition(p.String())
		if err != nil || back != p {
			t.Fatalf("%v comes back as %v, %v", p, back, err)
		}
	})
	for _, bad := range []string{"", ".", "1.0/1", "0000000000000001", "0000000000000001.", "000000000000000g.0/1", "0000000000000001.0/1.2"} {
		if p, err := coherence.ParsePosition(bad); err == nil {
			t.Errorf("%q parses as %v", bad, p)
		}
	}
}

// Whatever is changed in a signed position, it doesn't open.
func TestSealOpensOnlyWhatItSigned(t *testing.T) {
	ours, other := position.NewSeal("a secret of some length"), position.NewSeal("another one of some length")
	rapid.Check(t, func(t *rapid.T) {
		p := coherence.Position{Epoch: coherence.Epoch(rapid.Uint64().Draw(t, "epoch")), LSN: coherence.LSN(rapid.Uint64().Draw(t, "lsn"))}
		signed := ours.Sign(p.String())
		if text, ok := ours.Open([]byte(signed)); !ok || string(text) != p.String() {
			t.Fatalf("%s opens as %q, %t", signed, text, ok)
		}
		if _, ok := other.Open([]byte(signed)); ok {
			t.Fatalf("%s opens with another secret", signed)
		}
		forged := []byte(signed)
		i := rapid.IntRange(0, len(forged)-1).Draw(t, "place")
		forged[i] = rapid.SampledFrom([]byte("0123456789abcdefABCDEF./-_ \x00\xff")).Draw(t, "byte")
		if _, ok := ours.Open(forged); ok && string(forged) != signed {
			t.Fatalf("%q opens", forged)
		}
		if _, ok := ours.Open(forged[:i]); ok {
			t.Fatalf("%q opens", forged[:i])
		}
	})
	if _, ok := ours.Open([]byte("0000000000000007.0/1")); ok {
		t.Error("a position without a signature opens")
	}
}

// tokens makes a rig whose primary's log ends at end and whose strict reads
// are proven at once and counted.
func tokens(t *testing.T, end, proofs *atomic.Int64, change func(*Options)) *rig {
	return newRig(t, func(r *rig, o *Options) {
		o.Positions.Ask = func(context.Context) (coherence.Position, error) {
			if end.Load() < 0 {
				return coherence.Position{}, errors.New("no connection")
			}
			return coherence.Position{Epoch: r.guard.Epoch(), LSN: coherence.LSN(end.Load())}, nil
		}
		o.Prove = func(context.Context, coherence.Nanos) error {
			proofs.Add(1)
			r.prove()
			return nil
		}
		if change != nil {
			change(o)
		}
	})
}

const testSecret = "0123456789abcdef0123456789abcdef"

// With a secret, a position that isn't signed with it takes a strict read.
func TestForgedPositionIsReadStrictly(t *testing.T) {
	var end, proofs atomic.Int64
	end.Store(1000)
	r := tokens(t, &end, &proofs, func(o *Options) { o.Positions.Cookie, o.Positions.Secret = "at", testSecret })
	r.say("one")
	r.get("/api/listings/1")
	signed := r.do("PUT", "/api/listings/2", strings.NewReader("x")).Header.Get("Walpurge-Position")
	plain, signature, _ := strings.Cut(signed, ".0/3E8.")
	if plain != "0000000000000007" || len(signature) != 22 {
		t.Fatalf("position %q", signed)
	}
	foreign := position.NewSeal("another secret").Sign("0000000000000007.0/3E8")
	for _, c := range []struct {
		name, Packed string
		strict       bool
	}{
		{"signed", signed, false},
		{"unsigned", "0000000000000007.0/3E8", true},
		{"another position under the signature", "0000000000000007.0/3E7." + signature, true},
		{"another secret", foreign, true},
		{"a signature cut short", signed[:len(signed)-2], true},
		{"another epoch", position.NewSeal(testSecret).Sign("0000000000000008.0/1"), true},
		{"no epoch", position.NewSeal(testSecret).Sign("0000000000000000.0/0"), true},
		{"beyond the end of the log", position.NewSeal(testSecret).Sign("0000000000000007.FFFFFFFF/FFFFFFFF"), true},
		{"nothing", "", true},
		{"nonsense", "nonsense", true},
		{"one of them forged", signed + ", 0000000000000007.0/1", true},
	} {
		for _, field := range []string{"Walpurge-Position: " + c.Packed, "Cookie: a=1; at=" + c.Packed + "; b=2"} {
			if strings.Contains(field, "Cookie") && strings.Contains(c.Packed, ",") {
				continue
			}
			before := proofs.Load()
			r.want(r.get("/api/listings/1", field), "one", "walpurge; hit")
			if strict := proofs.Load() > before; strict != c.strict {
				t.Errorf("%s, %s: strict is %t", c.name, field, strict)
			}
		}
	}
	// Two fields and the cookie: each counts.
	before := proofs.Load()
	r.get("/api/listings/1", "Walpurge-Position: "+signed, "Walpurge-Position: x")
	r.get("/api/listings/1", "Walpurge-Position: "+signed, "Cookie: at=x")
	if n := proofs.Load() - before; n != 2 {
		t.Errorf("%d strict reads of 2", n)
	}
	// Before the first epoch, a position of none is no position.
	r.guard.Reset(0, 1000)
	before = proofs.Load()
	r.get("/api/listings/1", "Walpurge-Position: "+position.NewSeal(testSecret).Sign("0000000000000000.0/0"))
	if proofs.Load() == before {
		t.Error("a position of no epoch counts as one")
	}
}

// Nothing waits for a position to be reached: what isn't applied yet is a
// strict read, which ends when the primary's own position is reached.
func TestPositionFarAheadIsNotWaitedFor(t *testing.T) {
	var end, proofs atomic.Int64
	end.Store(1000)
	r := tokens(t, &end, &proofs, func(o *Options) { o.StrictWait = time.Hour })
	r.say("one")
	r.get("/api/listings/1")
	r.want(r.get("/api/listings/1", "Walpurge-Position: 0000000000000007.FFFFFFFF/FFFFFFFF"), "one", "walpurge; hit")
	if proofs.Load() != 1 {
		t.Errorf("%d strict reads", proofs.Load())
	}
}

// The response to a write carries the maximum of where the log ends and of
// what the client had; without an answer, what makes it read strictly.
func TestPositionsMergeByMaximum(t *testing.T) {
	var end, proofs atomic.Int64
	r := tokens(t, &end, &proofs, func(o *Options) { o.Positions.Cookie = "at" })
	for _, c := range []struct {
		end  int64
		sent []string
		want string
	}{
		{0x500, nil, "0000000000000007.0/500"},
		{0x500, []string{"Walpurge-Position: 0000000000000007.0/400"}, "0000000000000007.0/500"},
		{0x500, []string{"Walpurge-Position: 0000000000000007.0/600"}, "0000000000000007.0/600"},
		{0x500, []string{"Walpurge-Position: 0000000000000007.0/600, 0000000000000007.0/700,0000000000000007.0/100"}, "0000000000000007.0/700"},
		{0x500, []string{"Walpurge-Position: 0000000000000007.0/600", "Cookie: at=0000000000000007.0/800"}, "0000000000000007.0/800"},
		{0x500, []string{"Walpurge-Position: 0000000000000007.0/600, 0000000000000008.0/700"}, "0000000000000007.0/600"},
		{0x500, []string{"Walpurge-Position: 0000000000000006.0/700"}, "0000000000000007.0/500"},
		{0x500, []string{"Walpurge-Position: nonsense"}, "0000000000000007.0/500"},
		{-1, []string{"Walpurge-Position: 0000000000000007.0/600"}, "0000000000000000.0/0"},
		{-1, nil, "0000000000000000.0/0"},
	} {
		end.Store(c.end)
		got := r.do("DELETE", "/api/listings/1", nil, c.sent...)
		cookie, _, _ := strings.Cut(got.Header.Get("Set-Cookie"), ";")
		if p := got.Header["Walpurge-Position"]; len(p) != 1 || p[0] != c.want || cookie != "at="+c.want {
			t.Errorf("log's end %x, sent %q: position %q, cookie %q; want %q", c.end, c.sent, p, cookie, c.want)
		}
	}
}

// The cookie comes with the response to a write, beside the origin's own, and
// is what browsers call it.
func TestPositionCookieIsSetBesideTheOrigins(t *testing.T) {
	var end, proofs atomic.Int64
	end.Store(0x500)
	r := tokens(t, &end, &proofs, func(o *Options) {
		o.Positions.Cookie, o.Positions.Life = "at", 90*time.Second
		o.Clients.Trusted = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	})
	r.say("done", "Set-Cookie: session=1; Path=/", "Set-Cookie: theme=dark", "Walpurge-Position: the origin's")
	const want = "at=0000000000000007.0/500; Path=/; Max-Age=90; HttpOnly; SameSite=Lax"
	for scheme, cookie := range map[string]string{"http": want, "https": want + "; Secure"} {
		got := r.do("POST", "/plain/a", strings.NewReader("x"), "X-Forwarded-Proto: "+scheme)
		if all := got.Header["Set-Cookie"]; len(all) != 3 || all[0] != "session=1; Path=/" || all[1] != "theme=dark" || all[2] != cookie {
			t.Errorf("%s: Set-Cookie %q", scheme, all)
		}
		if p := got.Header["Walpurge-Position"]; len(p) != 1 || p[0] != "0000000000000007.0/500" {
			t.Errorf("%s: Walpurge-Position %q", scheme, p)
		}
	}
	for _, method := range []string{"GET", "HEAD", "OPTIONS"} {
		got := r.do(method, "/plain/"+method, nil)
		if len(got.Header["Set-Cookie"]) != 2 || got.Header.Get("Walpurge-Position") != "" {
			t.Errorf("%s: %q", method, got.Header)
		}
	}
	if got := r.do("POST", "/plain/a", strings.NewReader("x"), "Cookie: at=0000000000000007.0/600"); !strings.HasPrefix(got.Header["Set-Cookie"][2], "at=0000000000000007.0/600;") {
		t.Errorf("Set-Cookie %q", got.Header["Set-Cookie"])
	}
}

// Neither the cookie nor the field reaches the origin or tells responses
// apart; what is beside it does.
func TestPositionEndsAtTheProxy(t *testing.T) {
	var end, proofs atomic.Int64
	r := tokens(t, &end, &proofs, func(o *Options) {
		o.Positions.Cookie = "at"
		o.Routes = append(o.Routes, route.Declaration{Pattern: "/by/cookie", Vary: []route.Key{{Source: expr.Cookie, Name: "a"}}}, route.Declaration{Pattern: "/by/field", Vary: []route.Key{{Source: expr.Header, Name: "cookie"}}})
	})
	r.answer(func(w http.ResponseWriter, req *http.Request) {
		if strings.Contains(strings.Join(req.Header["Cookie"], "; "), "at=") || req.Header["Walpurge-Position"] != nil {
			t.Errorf("%s %s reaches the origin with %q", req.Method, req.URL, req.Header)
		}
		w.Header().Set("Cache-Control", "max-age=60")
		w.Header().Set("Vary", req.Header.Get("X-Vary"))
		_, _ = io.WriteString(w, strings.Join(req.Header["Cookie"], "|"))
	})
	token := "0000000000000007.0/1"
	for _, path := range []string{"/api/listings/1", "/by/cookie", "/by/field", "/plain/vary", "/other"} {
		vary := "X-Vary: "
		if path == "/plain/vary" {
			vary = "X-Vary: Cookie"
		}
		first := r.get(path, vary, "Cookie: a=1; b=2", "Walpurge-Position: "+token)
		r.want(first, first.body, "walpurge; fwd=uri-miss; fwd-status=200; stored")
		for _, cookie := range []string{"at=" + token + "; a=1; b=2", "a=1; at=" + token + "; b=2", "a=1; b=2; at=0000000000000007.0/2", "a=1; b=2"} {
			r.want(r.get(path, vary, "Cookie: "+cookie), first.body, "walpurge; hit")
		}
	}
	// Alone, it is as if there were no cookie.
	r.want(r.get("/by/field", "Cookie: at="+token), "", "walpurge; fwd=uri-miss; fwd-status=200; stored")
	r.want(r.get("/by/field"), "", "walpurge; hit")
	for _, method := range []string{"POST", "OPTIONS"} {
		r.do(method, "/plain/a", strings.NewReader("x"), "Cookie: at="+token, "Walpurge-Position: "+token)
	}
	if proofs.Load() != 0 {
		t.Errorf("%d strict reads", proofs.Load())
	}
}

// Without a database positions mean nothing, and what another proxy behind
// this one says of them passes.
func TestPositionsPassAProxyWithoutDatabase(t *testing.T) {
	r := newRig(t, plainHTTP)
	r.answer(func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Walpurge-Position", "0000000000000007.0/5")
		_, _ = io.WriteString(w, req.Header.Get("Walpurge-Position"))
	})
	got := r.do("POST", "/a", strings.NewReader("x"), "Walpurge-Position: 0000000000000007.0/4")
	if got.body != "0000000000000007.0/4" || got.Header.Get("Walpurge-Position") != "0000000000000007.0/5" {
		t.Errorf("%q %q", got.body, got.Header)
	}
}

// R7: a flight that left while the client's commit was decoded and not yet
// visible may have read the old row. The position is covered by then.
func TestReaderWithPositionDoesNotJoinOlderFlight(t *testing.T) {
	var end, proofs atomic.Int64
	r := tokens(t, &end, &proofs, func(o *Options) { o.JoinTimeout = time.Hour })
	reached, release := make(chan struct{}, 1), make(chan struct{})
	let := sync.OnceFunc(func() { close(release) })
	t.Cleanup(let)
	var n atomic.Int64
	r.answer(func(w http.ResponseWriter, _ *http.Request) {
		if n.Add(1) == 1 {
			reached <- struct{}{}
			<-release
			_, _ = io.WriteString(w, "old")
			return
		}
		_, _ = io.WriteString(w, "new")
	})
	r.decode(&row{"1", "Lagos", "1"}, &row{"1", "Lagos", "2"}) // applied, and pending
	first := make(chan reply, 1)
	go func() { first <- r.get("/api/listings/1") }()
	<-reached
	token := coherence.Position{Epoch: r.guard.Epoch(), LSN: r.guard.Applied()}.String()
	second := make(chan reply, 1)
	go func() { second <- r.get("/api/listings/1", "Walpurge-Position: "+token) }()
	r.eventually("the second reader asks the origin itself", func() bool { return n.Load() == 2 })
	let()
	r.want(<-second, "new", "walpurge; fwd=uri-miss")
	if got := <-first; got.body != "old" {
		t.Errorf("the first reader got %q", got.body)
	}
	// What was stored elsewhere or by others may be shared once it is new enough.
	r.settle()
	r.get("/api/listings/1")
	r.want(r.get("/api/listings/1", "Walpurge-Position: "+token), "new", "walpurge; hit")
	if proofs.Load() != 0 {
		t.Errorf("%d strict reads", proofs.Load())
	}
}

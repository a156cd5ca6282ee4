// Package upstream is the origin's side: it sends requests and says what their
// failure means, gives turns to those that may be many, and knows which fields
// cross this hop, both ways, and which end here. It knows HTTP as packages
// http1 and rfc9111 have it, and nothing of what is stored.
package upstream

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"walpurge/internal/loopback"
	"walpurge/internal/rfc9111"
)

// Options says where the origin is and how long it is waited for.
type Options struct {
	URL    *url.URL // scheme, host and port
	Socket string   // path of the Unix socket where the origin is; empty: at URL's host

	ConnectTimeout time.Duration // for a connection; 5 s
	Timeout        time.Duration // until the head of a response; 30 s

	Concurrency int           // fills at one time, from sending to the end of the response; 0: no limit
	Wait        time.Duration // how long a fill waits for its turn; 10 s
}

// Origin sends requests to the origin.
type Origin struct {
	origin    *url.URL
	socket    string
	transport *http.Transport
	upgrades  *http.Transport // HTTP/1.1 only: upgrades don't exist in HTTP/2
	observe   func(seconds float64)
	slots     chan struct{} // one for each fill on its way; nil: no limit
	patience  time.Duration // with which a slot is waited for
	waiting   atomic.Int64  // for a slot
}

// New makes the way to the origin. observe is told how long each request took
// until the head of its response. It does no I/O.
func New(o *Options, observe func(float64)) *Origin {
	origin, concurrency, patience := o.URL, o.Concurrency, o.Wait
	dialer := &net.Dialer{Timeout: o.ConnectTimeout, KeepAlive: 30 * time.Second}
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		return loopback.Dial(ctx, dialer, network, address)
	}
	if o.Socket != "" {
		dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", o.Socket)
		}
	}
	t := &http.Transport{
		Proxy:                  nil, // whatever the environment says: the origin is configured
		DialContext:            dial,
		DisableCompression:     true,
		ForceAttemptHTTP2:      true,
		MaxIdleConns:           1024,
		MaxIdleConnsPerHost:    1024,
		IdleConnTimeout:        60 * time.Second,
		TLSHandshakeTimeout:    o.ConnectTimeout,
		ResponseHeaderTimeout:  o.Timeout,
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: 256 << 10,
		WriteBufferSize:        16 << 10,
		ReadBufferSize:         16 << 10,
	}
	u := &Origin{origin: origin, socket: o.Socket, transport: t, upgrades: t, observe: observe, patience: patience}
	if concurrency > 0 {
		u.slots = make(chan struct{}, concurrency)
	}
	if origin.Scheme == "http" {
		t.DialContext = naming(t.DialContext)
	}
	if origin.Scheme == "https" {
		u.upgrades = t.Clone()
		u.upgrades.ForceAttemptHTTP2 = false
		u.upgrades.TLSNextProto = make(map[string]func(string, *tls.Conn) http.RoundTripper)
	}
	return u
}

// Name is where the origin is, for people.
func (u *Origin) Name() string {
	if u.socket != "" {
		return "unix:" + u.socket
	}
	return u.origin.Redacted()
}

// Waits is how many requests wait for their turn.
func (u *Origin) Waits() int64 { return u.waiting.Load() }

// Taken is how many turns are taken, if they are limited.
func (u *Origin) Taken() int { return len(u.slots) }

// Close closes the connections that nobody uses.
func (u *Origin) Close() {
	u.transport.CloseIdleConnections()
	u.upgrades.CloseIdleConnections()
}

// Request makes a request to the origin. target is sent as it is.
func (u *Origin) Request(ctx context.Context, method, target, host string, h http.Header) *http.Request {
	return (&http.Request{
		Method: method, URL: u.url(target), Host: host, Header: h,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}).WithContext(ctx)
}

// url is the origin with a request target that net/http sends unchanged.
func (u *Origin) url(target string) *url.URL {
	to := &url.URL{Scheme: u.origin.Scheme, Host: u.origin.Host}
	if !strings.HasPrefix(target, "//") {
		to.Opaque = target
		return to
	}
	// An opaque part that begins with two slashes would be sent with a scheme.
	path, query, has := strings.Cut(target, "?")
	to.RawPath, to.RawQuery, to.ForceQuery = path, query, has && query == ""
	if plain, err := url.PathUnescape(path); err == nil {
		to.Path = plain
	} else {
		to.Path = path
	}
	return to
}

// Send sends a request. interim, if not nil, gets the interim responses of
// status 102 to 199 other than 101, and 100.
func (u *Origin) Send(req *http.Request, interim func(status int, h http.Header) error) (*http.Response, error) {
	if interim != nil {
		req = req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
			Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
				if err := WellFormed(http.Header(h)); err != nil {
					return err
				}
				return interim(code, http.Header(h))
			},
		}))
	}
	t := u.transport
	if req.Header.Get("Upgrade") != "" {
		t = u.upgrades
	}
	start := time.Now()
	resp, err := t.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	u.observe(time.Since(start).Seconds())
	err = WellFormed(resp.Header)
	if resp.StatusCode == http.StatusSwitchingProtocols && !agreed(req.Header["Upgrade"], resp.Header["Upgrade"]) {
		err = errUnasked
	}
	if err != nil {
		Discard(resp.Body)
		return nil, err
	}
	return resp, nil
}

// Fill sends a request whose response may be stored. Only so many are under
// way at one time, so that a wide purge doesn't let everything loose on the
// origin. What is passed through has no limit here: a stream may last for
// ever. begun is called when it is the request's turn.
func (u *Origin) Fill(req *http.Request, interim func(status int, h http.Header) error, begun func()) (*http.Response, error) {
	if err := u.Acquire(req.Context()); err != nil {
		return nil, err
	}
	begun()
	resp, err := u.Send(req, interim)
	if err != nil {
		u.Release()
		return nil, err
	}
	if u.slots != nil {
		resp.Body = &slotted{ReadCloser: resp.Body, release: sync.OnceFunc(u.Release)}
	}
	return resp, nil
}

// errUnasked says that the origin answered in a protocol that nobody named.
var errUnasked = errors.New("the origin switched to a protocol that the request doesn't name")

// errBusy says that the origin had no room for one more in time.
var errBusy = errors.New("the origin has as many requests as origin_concurrency allows, and no turn came within origin_wait")

// Acquire waits for a slot. Those who wait get theirs in the order in which
// they came: a channel serves its senders so.
func (u *Origin) Acquire(ctx context.Context) error {
	if u.slots == nil {
		return nil
	}
	select {
	case u.slots <- struct{}{}:
		return nil
	default:
	}
	u.waiting.Add(1)
	defer u.waiting.Add(-1)
	patience := time.NewTimer(u.patience)
	defer patience.Stop()
	select {
	case u.slots <- struct{}{}:
		return nil
	case <-patience.C:
		return errBusy
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Release gives a slot back.
func (u *Origin) Release() {
	if u.slots != nil {
		<-u.slots
	}
}

// slotted is a body that gives its request's slot back when it is closed.
type slotted struct {
	io.ReadCloser
	release func()
}

// GiveBack gives a response's slot back before its end.
func GiveBack(resp *http.Response) {
	if s, ok := resp.Body.(*slotted); ok {
		s.release()
	}
}

// Close implements io.Closer.
func (s *slotted) Close() error {
	defer s.release()
	return s.ReadCloser.Close()
}

// Why the origin has given no answer.
const (
	Failed rfc9111.Reason = "origin"
	Slow   rfc9111.Reason = "timeout"
	Busy   rfc9111.Reason = "busy" // no turn came in time
)

// ErrOverdue is the cause of a request's end whose time is over.
var ErrOverdue = errors.New("fill timeout")

// Fault says what a failed request to the origin means for the client.
func Fault(ctx context.Context, err error) (status int, reason rfc9111.Reason) {
	var timeout net.Error
	if errors.Is(err, errBusy) {
		return http.StatusServiceUnavailable, Busy
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout() || context.Cause(ctx) == ErrOverdue {
		return http.StatusGatewayTimeout, Slow
	}
	return http.StatusBadGateway, Failed
}

// Prefix puts bytes before what is left of a response's body.
func Prefix(resp *http.Response, first []byte) {
	if resp.ContentLength >= 0 {
		resp.ContentLength += int64(len(first))
	}
	body := &resp.Body
	if s, ok := resp.Body.(*slotted); ok { // which may be given back before the end
		body = &s.ReadCloser
	}
	*body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(first), *body), *body}
}

// Discard closes a response's body without waiting for the rest of it.
func Discard(body io.ReadCloser) { _ = body.Close() }

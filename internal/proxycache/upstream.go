package proxycache

import (
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
)

// upstream sends requests to the origin.
type upstream struct {
	origin    *url.URL
	transport *http.Transport
	upgrades  *http.Transport // HTTP/1.1 only: upgrades don't exist in HTTP/2
	observe   func(seconds float64)
	slots     chan struct{} // one for each fill on its way; nil: no limit
	patience  time.Duration // with which a slot is waited for
	waiting   atomic.Int64  // for a slot
}

func newUpstream(o *OriginOptions, observe func(float64)) *upstream {
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
	u := &upstream{origin: origin, transport: t, upgrades: t, observe: observe, patience: patience}
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

func (u *upstream) close() {
	u.transport.CloseIdleConnections()
	u.upgrades.CloseIdleConnections()
}

// request makes a request to the origin. target is sent as it is.
func (u *upstream) request(ctx context.Context, method, target, host string, h http.Header) *http.Request {
	return (&http.Request{
		Method: method, URL: u.url(target), Host: host, Header: h,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}).WithContext(ctx)
}

// url is the origin with a request target that net/http sends unchanged.
func (u *upstream) url(target string) *url.URL {
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

// send sends a request. interim, if not nil, gets the interim responses of
// status 102 to 199 other than 101, and 100.
func (u *upstream) send(req *http.Request, interim func(status int, h http.Header) error) (*http.Response, error) {
	if interim != nil {
		req = req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
			Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
				if err := wellFormed(http.Header(h)); err != nil {
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
	err = wellFormed(resp.Header)
	if resp.StatusCode == http.StatusSwitchingProtocols && !agreed(req.Header["Upgrade"], resp.Header["Upgrade"]) {
		err = errUnasked
	}
	if err != nil {
		discard(resp.Body)
		return nil, err
	}
	return resp, nil
}

// fill sends a request whose response may be stored. Only so many are under
// way at one time, so that a wide purge doesn't let everything loose on the
// origin. What is passed through has no limit here: a stream may last for
// ever. begun is called when it is the request's turn.
func (u *upstream) fill(req *http.Request, interim func(status int, h http.Header) error, begun func()) (*http.Response, error) {
	if err := u.acquire(req.Context()); err != nil {
		return nil, err
	}
	begun()
	resp, err := u.send(req, interim)
	if err != nil {
		u.release()
		return nil, err
	}
	if u.slots != nil {
		resp.Body = &slotted{ReadCloser: resp.Body, release: sync.OnceFunc(u.release)}
	}
	return resp, nil
}

// errUnasked says that the origin answered in a protocol that nobody named.
var errUnasked = errors.New("the origin switched to a protocol that the request doesn't name")

// errBusy says that the origin had no room for one more in time.
var errBusy = errors.New("the origin has as many requests as origin_concurrency allows, and no turn came within origin_wait")

// acquire waits for a slot. Those who wait get theirs in the order in which
// they came: a channel serves its senders so.
func (u *upstream) acquire(ctx context.Context) error {
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

func (u *upstream) release() {
	if u.slots != nil {
		<-u.slots
	}
}

// slotted is a body that gives its request's slot back when it is closed.
type slotted struct {
	io.ReadCloser
	release func()
}

// giveBack gives a response's slot back before its end.
func giveBack(resp *http.Response) {
	if s, ok := resp.Body.(*slotted); ok {
		s.release()
	}
}

func (s *slotted) Close() error {
	defer s.release()
	return s.ReadCloser.Close()
}

// originFault says what a failed request to the origin means for the client.
func originFault(ctx context.Context, err error) (status int, reason Reason) {
	var timeout net.Error
	if errors.Is(err, errBusy) {
		return http.StatusServiceUnavailable, OriginBusy
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout() || context.Cause(ctx) == errFillTimeout {
		return http.StatusGatewayTimeout, OriginSlow
	}
	return http.StatusBadGateway, OriginFailed
}

var errFillTimeout = errors.New("fill timeout")

// discard closes a response's body without waiting for the rest of it.
func discard(body io.ReadCloser) { _ = body.Close() }

// originName is where the origin is, for people.
func (p *Proxy) originName() string {
	if p.opt.Origin.Socket != "" {
		return "unix:" + p.opt.Origin.Socket
	}
	return p.opt.Origin.URL.Redacted()
}

package proxycache

import (
	"context"
	"net/http"
	"time"

	"walpurge/internal/http1"
	"walpurge/internal/proxycache/fill"
	"walpurge/internal/proxycache/outcome"
	"walpurge/internal/rfc9111"
	"walpurge/internal/upstream"
)

// pass sends a request through to the origin and its response back, both as
// they arrive. Nothing of it is kept, but for what k keeps.
func (x *exchange) pass(v *verdict, k *fill.Copy) verdict {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	drop := http1.Set(0)
	if x.Body == nil {
		drop = http1.Of(http1.Expect)
	}
	h := x.p.requestHeader(x.Exchange, drop)
	x.countDown(h)
	x.needsOfRequest(h)
	return x.exchangeWith(ctx, cancel, h, v, k)
}

// passAndCopy passes a request and keeps its response if that may be shared.
func (x *exchange) passAndCopy(v *verdict) verdict {
	k := x.p.fills.CopyOf(fill.Order{
		Request: x.Request, Route: x.Route, Primary: x.key, Question: x.question(), Authorized: x.authorized,
	}, func(reference string) bool {
		key, ok := x.keyOf(reference)
		return ok && key == x.key
	})
	defer k.Close()
	return x.pass(v, k)
}

// exchangeWith sends the request with header h and passes the response on.
func (x *exchange) exchangeWith(ctx context.Context, cancel context.CancelCauseFunc, h http.Header, v *verdict, k *fill.Copy) verdict {
	x.traceTo(h)
	req := x.p.upstream.Request(ctx, string(x.Method), x.target, string(x.Host), h)
	if x.content != nil {
		req.Body, req.ContentLength = x.body()
	} else if x.Body != nil {
		upstream.GiveBody(req, x.Exchange)
	}
	x.Watch(func() { cancel(fill.ErrClientGone) })
	sent := time.Now()
	resp, err := x.send(req, v.turns, func(status int, h http.Header) error {
		upstream.ConnectionFields(h)
		return x.Interim(http1.AppendFields(http1.AppendStatus(nil, status), h))
	})
	if err != nil {
		return x.originFailed(ctx, err, v)
	}
	defer upstream.Discard(resp.Body)
	if fill.Failing(resp.StatusCode) {
		if instead, ok := x.inPlaceOf(v, outcome.OriginFailed, false); ok {
			return instead
		}
	}
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return x.tunnel(resp, v)
	}
	return x.passBack(resp, v, sent, k)
}

// inPlaceOf is what answers in the place of an error of the origin, if anything
// does.
func (x *exchange) inPlaceOf(v *verdict, reason outcome.Reason, unreachable bool) (instead verdict, ok bool) {
	if instead, ok = x.standIn(v); ok {
		return instead, true
	}
	return x.bridged(v, reason, unreachable)
}

// send sends the request, with turns in its turn.
func (x *exchange) send(req *http.Request, turns bool, interim func(int, http.Header) error) (*http.Response, error) {
	if turns {
		if err := x.p.upstream.Acquire(req.Context()); err != nil {
			return nil, err
		}
		defer x.p.upstream.Release() // what comes after the head may last for ever
	}
	return x.p.upstream.Send(req, interim)
}

func (x *exchange) originFailed(ctx context.Context, err error, v *verdict) verdict {
	if context.Cause(ctx) == fill.ErrClientGone {
		return x.cutOff()
	}
	status, reason := upstream.Fault(ctx, err)
	if instead, ok := x.inPlaceOf(v, reason, true); ok {
		return instead
	}
	x.p.log.Warn("origin request failed", "method", string(x.Method), "route", x.Route.Label, "reason", string(reason), "error", err)
	cs := v.cs
	cs.Detail = reason
	return refused(status, outcome.Fault, cs, sentences[reason])
}

// passBack sends the origin's response.
func (x *exchange) passBack(resp *http.Response, v *verdict, sent time.Time, k *fill.Copy) verdict {
	x.invalidateAfter(resp.StatusCode, resp.Header) // before the client hears of it
	a := &rfc9111.Answer{Status: resp.StatusCode, Header: resp.Header, Sent: sent, Received: time.Now()}
	cs := v.cs
	cs.FwdStatus = resp.StatusCode
	if x.head && v.stale != nil && a.Status == http.StatusOK && !x.Has(rfc9111.Conditions) {
		if e := x.p.fills.Freshened(v.stale, a, new(x.question()), x.key, x.Request); e != nil {
			cs.Stored = true
			return verdict{way: toReply, outcome: v.outcome, cs: cs, entry: e, at: x.p.opt.Now()}
		}
	}
	defer x.done(v.outcome, cs.Detail)
	k.Begin(a, resp.ContentLength)
	length := upstream.SilentLength(resp, resp.ContentLength)
	upstream.PassFields(resp.Header)
	x.p.positions.DropForeign(resp.Header)
	upstream.FinishHeader(resp.Header, time.Now())
	head := http1.AppendFields(http1.AppendStatus(nil, resp.StatusCode), resp.Header)
	head = x.tellPosition(head)
	if err := x.Start(resp.StatusCode, x.p.appendTiming(cs.Append(upstream.AnnounceTrailer(head, resp)), &cs, nil, 0), length); err != nil {
		return verdict{}
	}
	x.copyBody(resp, k)
	return verdict{}
}

package proxycache

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"walpurge/internal/expr"
	"walpurge/internal/http1"
	"walpurge/internal/problem"
	"walpurge/internal/proxycache/live"
	"walpurge/internal/proxycache/outcome"
	"walpurge/internal/proxycache/route"
	"walpurge/internal/rfc9111"
)

// feedDetail marks what the feed answers in Cache-Status.
const feedDetail outcome.Reason = "events"

// feedURL bounds the URL that a page names.
const feedURL = 4 << 10 // bytes

// serveFeed answers a request for the feed.
func (x *exchange) serveFeed() verdict {
	cs := rfc9111.CacheStatus{Detail: feedDetail}
	if string(x.Method) != "GET" {
		body := problem.Document(http.StatusMethodNotAllowed, "The feed knows GET.")
		head := problem.AppendHead(x.Buffer(), http.StatusMethodNotAllowed, cs.String(), len(body), time.Now())
		_ = x.Send(http1.AppendField(head, "Allow", "GET"), body)
		x.done(outcome.Pass, feedDetail)
		return verdict{}
	}
	page, words := x.page()
	if words != "" {
		return refused(http.StatusUnprocessableEntity, outcome.Pass, cs, words)
	}
	gone := make(chan struct{})
	page.Gone = gone
	w := x.p.feed.Subscribe(page)
	if w == nil {
		return refused(http.StatusServiceUnavailable, outcome.Pass, cs, "Too many pages listen already.")
	}
	defer w.Leave()
	head := http1.AppendStatus(nil, http.StatusOK)
	head = http1.AppendField(head, "Content-Type", "text/event-stream")
	head = http1.AppendField(head, "Cache-Control", "no-store")
	head = http1.AppendField(head, "X-Content-Type-Options", "nosniff")
	head = http1.AppendField(head, "X-Accel-Buffering", "no") // a proxy in between shall not wait for more
	head = http1.AppendField(head, "Date", time.Now().UTC().Format(http.TimeFormat))
	if err := x.Start(http.StatusOK, cs.Append(head), http1.Unknown); err != nil {
		return verdict{}
	}
	x.done(outcome.Pass, feedDetail) // here, since how long a page stays open is no response time
	x.Watch(func() { close(gone) })
	w.Run()
	_ = x.Finish(nil)
	return verdict{}
}

// page is the named URL, as if this client had asked for it with the fields of
// this request. If there is nothing to watch, words is a sentence that says why.
func (x *exchange) page() (page live.Page, words string) {
	form, err := url.ParseQuery(string(x.Query))
	if err != nil || len(form["url"]) != 1 {
		return page, "Name one page with url=, its path and query percent-encoded."
	}
	target := form.Get("url")
	path, raw, hasQuery := strings.Cut(target, "?")
	odd := func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '#' || r == '\\' }
	if len(target) > feedURL || strings.ContainsFunc(target, odd) || !http1.CleanPath([]byte(path)) {
		return page, "url is not the path and query of a page."
	}
	var asks route.Asked
	x.p.routing.Load().Read(&asks, []byte(path), []byte(raw), hasQuery)
	rt := asks.Route
	if !rt.Guarded {
		return page, "No row ends the response to this URL: its route has no depends_on."
	}
	for _, k := range rt.Keys {
		if k.Source == expr.Cookie || k.Name == "authorization" {
			return page, "The response to this URL is for one person; the feed knows pages that are the same for all."
		}
	}
	https, host := x.p.opt.Clients.Trusted.Outside(x.Exchange)
	key, at := asks.AppendKey(nil, https, x.Request, host)
	return live.Page{
		Route: rt, Shown: asks.Subject(x.Request, string(key[at.From:at.To])), Key: string(key),
		Request: x.Request, Replaced: func() bool { return x.p.routing.Load() != asks.Table }, Writer: x,
	}, ""
}

package proxycache

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"walpurge/internal/coherence"
	"walpurge/internal/proxycache/route"
	"walpurge/internal/rfc9111"
)

// invalidateAfter ends what is stored for the target of an unsafe request that
// has succeeded, and for what its response names (RFC 9111 section 4.4).
func (x *exchange) invalidateAfter(status int, h http.Header) {
	if rfc9111.Safe(x.Method) || status < 200 || status > 399 {
		return
	}
	x.p.fills.Invalidate(x.key)
	x.endGroups(h)
	for _, name := range []string{"Location", "Content-Location"} {
		for _, v := range h[name] {
			if key, ok := x.keyOf(v); ok && key != x.key {
				x.p.fills.Invalidate(key)
			}
		}
	}
}

// keyOf is the key of a reference relative to the request's target. ok is
// false for one of another origin, about which this response has no say.
func (x *exchange) keyOf(reference string) (key string, ok bool) {
	https, forwardedHost := x.p.opt.Clients.Trusted.Outside(x.Exchange)
	scheme, port := "http", ":80"
	if https {
		scheme, port = "https", ":443"
	}
	host := string(x.Host)
	if len(forwardedHost) > 0 {
		host = string(forwardedHost)
	}
	base, err := url.Parse(scheme + "://" + host + x.target)
	if err != nil {
		return "", false
	}
	at, err := base.Parse(reference)
	if err != nil || at.Scheme != scheme || !strings.EqualFold(strings.TrimSuffix(at.Host, port), strings.TrimSuffix(host, port)) {
		return "", false
	}
	path := []byte(at.EscapedPath())
	if len(path) == 0 {
		path = []byte{'/'}
	}
	var asks route.Asked
	x.p.routing.Load().Read(&asks, path, []byte(at.RawQuery), at.RawQuery != "" || at.ForceQuery)
	k, _ := asks.AppendKey(nil, https, x.Request, forwardedHost)
	return string(k), true
}

// Purger purges groups. It writes a logical message, so that a purge takes
// the same way as every change and reaches every proxy.
type Purger interface {
	Purge(ctx context.Context, groups []string) (coherence.LSN, error)
}

// endGroups ends the groups that the response to a successful unsafe request
// names (RFC 9875 section 3), in this process and, where there is a log, by a
// message in it, which reaches all.
func (x *exchange) endGroups(h http.Header) {
	names := rfc9111.GroupNames(h["Cache-Group-Invalidation"])
	if len(names) == 0 {
		return
	}
	p := x.p
	for _, name := range names {
		p.memory.EndGroup(x.key, name)
	}
	if p.opt.Purger == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), p.opt.StrictWait)
	defer cancel()
	if _, err := p.opt.Purger.Purge(ctx, names); err != nil {
		p.log.Warn("groups were not ended by a message in the log", "route", x.Route.Label, "error", err)
	}
}

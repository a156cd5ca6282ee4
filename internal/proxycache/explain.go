package proxycache

import (
	"fmt"
	"net/http"
	"strings"

	"walpurge/internal/http1"
	"walpurge/internal/proxycache/depends"
	"walpurge/internal/proxycache/outcome"
	"walpurge/internal/proxycache/route"
	"walpurge/internal/rfc9111"
)

// Explanation says what the proxy does with a request, and why.
type Explanation struct {
	Method       string   `json:"method"`
	Route        string   `json:"route,omitempty"` // the pattern; empty without a declared route
	Key          string   `json:"key,omitempty"`   // what tells its response apart
	OriginTarget string   `json:"origin_target"`   // as the origin gets it
	Cached       bool     `json:"cached"`          // a response may come from the cache
	Why          string   `json:"why"`             // in a sentence
	DependsOn    []string `json:"depends_on,omitempty"`
	PurgedBy     []string `json:"purged_by,omitempty"` // the changes that end the response
	Notes        []string `json:"notes,omitempty"`     // how values of the request are read
	Lifetime     string   `json:"lifetime,omitempty"`  // how long it is kept without a change
	Vary         []string `json:"vary,omitempty"`      // what else tells responses apart
	InMemory     bool     `json:"in_memory"`
	AgeSeconds   int64    `json:"age_seconds,omitempty"`
	TTLSeconds   int64    `json:"ttl_seconds,omitempty"`
}

// Explain says what would happen to a request. target is a path with its
// query or an absolute URL. The error says why it is no request.
func (p *Proxy) Explain(method, target string, header http.Header) (*Explanation, error) {
	var head strings.Builder
	fmt.Fprintf(&head, "%s %s HTTP/1.1\r\n", method, target)
	if header.Get("Host") == "" {
		host := p.opt.Origin.URL.Host
		if _, rest, ok := strings.Cut(target, "://"); ok {
			host, _, _ = strings.Cut(rest, "/")
		}
		fmt.Fprintf(&head, "Host: %s\r\n", host)
	}
	for name, values := range header {
		for _, v := range values {
			fmt.Fprintf(&head, "%s: %s\r\n", name, v)
		}
	}
	head.WriteString("\r\n")
	req, err := http1.NewRequest([]byte(head.String()))
	if err != nil {
		return nil, err
	}
	return p.explainRequest(req), nil
}

func (p *Proxy) explainRequest(req *http1.Request) *Explanation {
	ex := &http1.Exchange{Request: req}
	if string(req.Method) == rfc9111.MethodQuery {
		ex.Body = new(http1.Body) // a QUERY has content, which can't be given here
	}
	x := p.newExchange(ex, p.opt.Now(), false, nil)
	e := &Explanation{Method: string(req.Method), OriginTarget: x.target}
	if x.Route != p.plain {
		e.Route = x.Route.Pattern
	}
	v := x.decide()
	e.Cached, e.Why = x.why(&v)
	if !e.Cached {
		return e
	}
	e.Key = x.key
	for _, k := range x.Route.Keys {
		e.Vary = append(e.Vary, k.Source.String()+"."+k.Name)
	}
	e.Lifetime = lifetimeWords(x.Route)
	x.explainDependencies(e)
	if found := p.memory.Peek(x.key); found != nil {
		now := p.opt.Now()
		e.InMemory, e.AgeSeconds, e.TTLSeconds = true, found.AgeAt(now), found.TTLAt(now)
	}
	return e
}

// why puts a verdict in a sentence, and tells whether the request can be
// answered from the cache.
func (x *exchange) why(v *verdict) (cached bool, words string) {
	switch v.way {
	case toFeed:
		return false, "The proxy answers this itself: the feed for pages that keep themselves up to date."
	case toAnswerHere:
		return false, "The proxy answers this itself: Max-Forwards lets the request go no further."
	case toRead:
		return false, "The answer to a QUERY is kept with the request's body, which can't be given here."
	case toRefuse:
		return false, v.words
	case toLookUp:
		return true, x.whatEnds()
	}
	if words := whyPassed[v.cs.Detail]; words != "" {
		return false, words
	}
	if v.cs.Fwd == rfc9111.FwdMethod {
		return false, "Only GET and HEAD are answered from the cache; this goes to the origin."
	}
	return false, "The request names a state that the resource must have; it goes to the origin."
}

// whyPassed are the reasons to send a request to the origin, in words.
var whyPassed = map[outcome.Reason]string{
	outcome.Upgrade:       "The request asks for another protocol; it goes to the origin.",
	outcome.HiddenFields:  "Connection names fields that are meant for the origin; the request goes there.",
	outcome.RequestBody:   "The request has a body; it goes to the origin.",
	outcome.UncleanPath:   "Servers may read this path differently (encoded slash, dot or empty segment); it goes to the origin.",
	outcome.ClientNoStore: "The request says no-store; it goes to the origin.",
	rfc9111.RouteTTL:      "The route keeps nothing (ttl is 0).",
}

// whatEnds tells what ends a stored response of the request's route.
func (x *exchange) whatEnds() string {
	switch {
	case x.Route == x.Table.Plain:
		return "No route is declared for this path; what the origin's headers allow is kept."
	case x.Route.Guarded:
		return "Kept until a row it depends on changes."
	}
	return "Kept for its lifetime; the route depends on no table."
}

func lifetimeWords(rt *route.Route) string {
	switch {
	case rt.TTL != nil:
		return "at most " + rt.TTL.String()
	case rt.Guarded:
		return "what the origin says, else " + rfc9111.DefaultLifetime.String()
	}
	return "what the origin says"
}

// explainDependencies puts the conditions with the request's values in words.
func (x *exchange) explainDependencies(e *Explanation) {
	if x.p.opt.Guard == nil {
		return
	}
	tables := x.p.opt.Guard.Tables()
	s := x.Subject(x.Request, x.target)
	for i := range x.Route.Depends {
		d := &x.Route.Depends[i]
		words := d.Words
		if words == "" {
			words = tables[d.Template.Table].Name
		}
		e.DependsOn = append(e.DependsOn, words)
		e.PurgedBy = append(e.PurgedBy, d.PurgedBy(&tables[d.Template.Table], s))
		e.Notes = d.Notes(e.Notes, &tables[d.Template.Table], s)
	}
	if x.Route.Declared {
		e.DependsOn = append(e.DependsOn, "what the response names")
		e.PurgedBy = append(e.PurgedBy, "a change of a row that the response names in "+depends.FieldName)
	}
}

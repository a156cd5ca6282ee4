package proxycache

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

// Reason says why something was decided. It is the same word in the log, in
// the metrics and in the detail of Cache-Status.
type Reason string

// The reasons. Empty means none was needed.
const (
	NoReason Reason = ""

	// Why a request isn't answered from the cache.
	Unproven      Reason = "unproven"       // no proof that what is stored is recent enough
	StrictRead    Reason = "strict"         // no proof that covers the request's arrival
	UncleanPath   Reason = "path"           // servers may read the path differently
	RequestBody   Reason = "body"           // a GET with a body
	Uncacheable   Reason = "uncacheable"    // the last response of the key could not be stored
	RouteTTL      Reason = "ttl"            // the route keeps nothing
	Authorized    Reason = "authorization"  // the stored response isn't for requests with credentials
	ClientNoStore Reason = "client"         // the request's Cache-Control
	OnlyIfCached  Reason = "only-if-cached" // nothing is stored
	PartialWanted Reason = "range"          // a part was asked for and nothing is stored
	Tunnel        Reason = "connect"        // CONNECT is for another kind of proxy
	MaxForwards   Reason = "max-forwards"   // a TRACE or OPTIONS request that may go no further
	HiddenFields  Reason = "connection"     // the request's Connection names fields that are meant for the origin

	// Why a response isn't stored.
	StatusCode   Reason = "status"
	NoStore      Reason = "no-store"
	Private      Reason = "private"
	SetCookie    Reason = "set-cookie"
	NoCache      Reason = "no-cache"
	NoLifetime   Reason = "no-lifetime" // the origin gives none and the route has no dependencies
	Expired      Reason = "expired"     // its lifetime was over on arrival, and it can't be validated
	VaryStar     Reason = "vary"
	Unknown      Reason = "must-understand" // the origin wants its status code understood, and it isn't
	TooLarge     Reason = "too-large"
	Incomplete   Reason = "incomplete"
	Changed      Reason = "change" // a row it depends on has changed meanwhile
	Pending      Reason = "pending"
	NewEpoch     Reason = "epoch"
	Invalidated  Reason = "invalidated" // an unsafe request has succeeded meanwhile
	Undeclared   Reason = "undeclared"  // it doesn't say, or not so that it can be followed, what it depends on
	OriginFailed Reason = "origin"
	OriginSlow   Reason = "timeout"
	OriginBusy   Reason = "busy" // no turn came in time
)

// question is what the policy has to know of a request.
type question struct {
	authorization bool
	ttl           *time.Duration // of the route
	guarded       bool           // the route has dependencies
	heuristics    bool           // where the origin says nothing, a lifetime may be guessed
	part          bool           // a part can be kept
	swr, sie      *time.Duration // of the route
}

// answer is what the policy has to know of a response.
type answer struct {
	status   int
	header   http.Header
	sent     time.Time // when the request was sent
	received time.Time // when the head had arrived
}

// verdict is whether a response is stored, for how long and why not.
type verdict struct {
	store    bool
	reason   Reason        // why not
	lifetime time.Duration // from its arrival on; 0: validate before each use
	age      time.Duration // on arrival (RFC 9111 section 4.2.3)
	shared   bool          // may answer requests with Authorization (section 3.5)
	mayStale bool          // a request may ask for it past its lifetime (section 4.2.4)
	swr, sie time.Duration // RFC 5861
	withheld []string      // fields that are not stored
}

// heuristic are the status codes that may be kept without the origin saying
// so (RFC 9110 section 15.1).
func heuristic(status int) bool {
	switch status {
	case 200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501:
		return true
	}
	return false
}

// understood tells whether this cache knows what a status code means for
// caching (RFC 9111 section 3): every registered one.
func understood(status int) bool {
	return status != http.StatusNotModified && http.StatusText(status) != ""
}

// judge decides whether a response may be stored (RFC 9111 section 3) and how
// long it is fresh (section 4.2).
func judge(q *question, a *answer) verdict {
	cc, targeted := policyOf(a.header)
	v := verdict{age: currentAge(a), shared: cc.public || cc.mustRevalidate || cc.sMaxAge.given, withheld: cc.withheld}
	if v.reason = forbidden(q, a, &cc); v.reason != NoReason {
		return v
	}
	if v.lifetime, v.reason = lifetime(q, a, &cc, targeted, v.age); v.reason != NoReason {
		return v
	}
	if v.lifetime <= 0 {
		if !validatable(a.header) && !cc.bridged() {
			v.reason = Expired
			if cc.noCache {
				v.reason = NoCache
			}
			return v
		}
		v.lifetime = 0
	}
	v.lifetime = min(v.lifetime, maxDelta*time.Second)
	v.mayStale = !cc.mustRevalidate && !cc.proxyRevalidate && !cc.sMaxAge.given && !cc.noCache
	if v.mayStale {
		v.swr, v.sie = cc.staleWhileRevalidate.duration(), cc.staleIfError.duration()
		if q.swr != nil {
			v.swr = *q.swr
		}
		if q.sie != nil {
			v.sie = *q.sie
		}
	}
	v.store = true
	return v
}

// forbidden names what forbids to store a response at all.
func forbidden(q *question, a *answer, cc *directives) Reason {
	switch {
	case a.status < 200 || a.status == 206 && !q.part || a.status == 304 || a.status > 599:
		return StatusCode
	case q.guarded && !heuristic(a.status):
		return StatusCode
	case cc.mustUnderstand && !understood(a.status):
		return Unknown
	case cc.noStore && !cc.mustUnderstand: // section 5.2.2.3
		return NoStore
	case cc.private:
		return Private
	case len(a.header["Set-Cookie"]) > 0 && !slices.Contains(cc.withheld, "Set-Cookie"):
		return SetCookie
	case q.authorization && !cc.public && !cc.mustRevalidate && !cc.sMaxAge.given:
		return Authorized
	case q.ttl != nil && *q.ttl <= 0:
		return RouteTTL
	}
	for _, v := range a.header["Vary"] {
		for name := range strings.SplitSeq(v, ",") {
			if strings.TrimSpace(name) == "*" {
				return VaryStar
			}
		}
	}
	return NoReason
}

// lifetime is how long a response is fresh after its arrival. A route's ttl
// takes the place of what the origin says to browsers; s-maxage, which is said
// to caches like this one, can shorten it.
func lifetime(q *question, a *answer, cc *directives, targeted bool, age time.Duration) (time.Duration, Reason) {
	if q.ttl != nil {
		t := *q.ttl
		if cc.sMaxAge.given {
			t = min(t, cc.sMaxAge.duration()-age)
		}
		return t, NoReason
	}
	expiry := !targeted && len(a.header["Expires"]) > 0
	said := cc.sMaxAge.given || cc.maxAge.given || expiry
	mayGuess := heuristic(a.status) || cc.public
	pragma := !targeted && len(a.header["Cache-Control"]) == 0 && strings.Contains(strings.ToLower(a.header.Get("Pragma")), "no-cache")
	switch {
	case cc.noCache || pragma: // also beside Expires: net/http's client makes Cache-Control of it, HTTP/2's doesn't
		if !said && !mayGuess {
			return 0, StatusCode // section 3: nothing allows to keep it
		}
		return 0, NoReason
	case cc.sMaxAge.given:
		return cc.sMaxAge.duration() - age, NoReason
	case cc.maxAge.given:
		return cc.maxAge.duration() - age, NoReason
	case expiry:
		return expires(a) - age, NoReason
	case q.guarded:
		return defaultLifetime, NoReason
	case q.heuristics && mayGuess:
		if t := guess(a); t > 0 {
			return t - age, NoReason
		}
	}
	return 0, NoLifetime
}

// maxGuess bounds heuristic lifetimes.
const maxGuess = 24 * time.Hour

// guess is the heuristic lifetime of a response: a tenth of the time since it
// was last modified (RFC 9111 section 4.2.2). 0 where that isn't known.
func guess(a *answer) time.Duration {
	modified, ok := parseDate(a.header.Get("Last-Modified"))
	if !ok {
		return 0
	}
	return min(dated(a).Sub(modified)/10, maxGuess)
}

// dated is when a response was made, as far as is known.
func dated(a *answer) time.Time {
	if date, ok := parseDate(a.header.Get("Date")); ok {
		return date
	}
	return a.received
}

// expires is the lifetime that Expires gives. A date that can't be read is in
// the past (RFC 9111 section 5.3).
func expires(a *answer) time.Duration {
	values := a.header["Expires"]
	if len(values) != 1 {
		return 0
	}
	at, ok := parseDate(values[0])
	if !ok {
		return 0
	}
	return at.Sub(dated(a))
}

// currentAge is the age of a response on arrival (RFC 9111 section 4.2.3).
func currentAge(a *answer) time.Duration {
	var apparent time.Duration
	if date, ok := parseDate(a.header.Get("Date")); ok {
		apparent = max(0, a.received.Truncate(time.Second).Sub(date))
	}
	said := saidAge(a.header["Age"]) + a.received.Sub(a.sent)
	return min(max(apparent, said), maxDelta*time.Second)
}

// saidAge reads Age (RFC 9111 section 5.1). Of several the first counts; one
// that is no number of seconds is as if it weren't there.
func saidAge(values []string) time.Duration {
	if len(values) == 0 {
		return 0
	}
	first, _, _ := strings.Cut(values[0], ",")
	first = strings.TrimSpace(first)
	for i := range len(first) {
		if first[i] < '0' || first[i] > '9' {
			return 0
		}
	}
	var d delta
	d.set(first)
	return d.duration()
}

// validatable tells whether a response can be validated.
func validatable(h http.Header) bool {
	return h.Get("Etag") != "" || h.Get("Last-Modified") != ""
}

// wish is what a request's Cache-Control and Pragma ask for (RFC 9111 section
// 5.2.1).
type wish struct {
	noStore, noCache, onlyIfCached bool
	maxAge, minFresh, maxStale     delta
	staleIfError                   delta // RFC 5861 section 4
}

// plain tells whether the request takes whatever is fresh. What it says of
// errors counts only once there is one.
func (w wish) plain() bool {
	w.staleIfError = delta{}
	return w == wish{}
}

func parseWish(cacheControl, pragma []string) wish {
	if len(cacheControl) == 0 {
		for _, p := range pragma {
			if strings.Contains(strings.ToLower(p), "no-cache") {
				return wish{noCache: true}
			}
		}
		return wish{}
	}
	d := parseDirectives(cacheControl...)
	return wish{noStore: d.noStore, noCache: d.noCache, onlyIfCached: d.onlyIfCached, maxAge: d.maxAge, minFresh: d.minFresh, maxStale: d.maxStale, staleIfError: d.staleIfError}
}

// admits tells whether a response of that age and remaining lifetime is what
// the request wants without validation.
func (w *wish) admits(age, left time.Duration) bool {
	return !w.noCache && (!w.maxAge.given || age <= w.maxAge.duration()) && (!w.minFresh.given || left >= w.minFresh.duration())
}

// admitsStale tells whether the request takes a response of that age whose
// lifetime has been over for so long.
func (w *wish) admitsStale(age, over time.Duration) bool {
	return w.maxStale.given && over <= w.maxStale.duration() && w.admits(age, -over)
}

// varyNames lists the fields that Vary names, in lower case, sorted and
// without duplicates.
func varyNames(h http.Header) []string {
	var names []string
	for _, v := range h["Vary"] {
		for name := range strings.SplitSeq(v, ",") {
			if name = strings.ToLower(strings.TrimSpace(name)); name != "" {
				names = append(names, name)
			}
		}
	}
	return sortedUnique(names)
}

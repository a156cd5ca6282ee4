package rfc9111

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

// Question is what the policy has to know of a request and of what is declared
// for its route. A span that is nil isn't declared: the origin says.
type Question struct {
	Authorization bool           // the request has credentials (RFC 9111 section 3.5)
	TTL           *time.Duration // takes the place of what the origin says to browsers, of a status code that may be kept by default; 0: nothing is stored
	Guarded       bool           // a response ends when what it depends on changes
	Heuristics    bool           // where the origin says nothing, a lifetime may be guessed (section 4.2.2)
	Part          bool           // a 206 can be kept (section 3.3)

	StaleWhileRevalidate, StaleIfError *time.Duration // take the place of what the origin says (RFC 5861)
}

// Answer is what the policy has to know of a response.
type Answer struct {
	Status   int         // the code
	Header   http.Header // without what concerns the connection
	Sent     time.Time   // when the request was sent
	Received time.Time   // when the head had arrived
}

// Verdict is whether a response is stored, for how long and why not.
type Verdict struct {
	Store    bool          // it is
	Reason   Reason        // why not
	Lifetime time.Duration // from its arrival on, at most MaxDelta; 0: validate before each use
	Age      time.Duration // on arrival, at most MaxDelta (RFC 9111 section 4.2.3)
	Shared   bool          // may answer requests with Authorization (section 3.5)
	MayStale bool          // a request may ask for it past its lifetime (section 4.2.4)
	Withheld []string      // fields that are not stored (sections 5.2.2.4 and 5.2.2.7)

	StaleWhileRevalidate, StaleIfError time.Duration // how long past its lifetime it is of use (RFC 5861)
}

// KeptByDefault tells whether a status code may be kept without the origin
// saying so (RFC 9110 section 15.1).
func KeptByDefault(status int) bool {
	switch status {
	case 200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501:
		return true
	}
	return false
}

// Fails tells whether a status code says that a request has failed, and not
// for how long: an error that may not be kept by default. 451 is none, which
// says of the resource that it must not be shown (RFC 7725 section 3).
func Fails(status int) bool {
	return status >= 400 && !KeptByDefault(status) && status != http.StatusUnavailableForLegalReasons
}

// Passing tells whether a status code says that a server can't answer now. The
// next answer is likely to be another one.
func Passing(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return true
	}
	return status >= 500 && Fails(status)
}

// understood tells whether this cache knows what a status code means for
// caching (RFC 9111 section 3): every registered one.
func understood(status int) bool {
	return status != http.StatusNotModified && http.StatusText(status) != ""
}

// Judge decides whether a response may be stored (RFC 9111 section 3) and how
// long it is fresh (section 4.2).
func Judge(q *Question, a *Answer) Verdict {
	cc, targeted := policyOf(a.Header)
	v := Verdict{Age: currentAge(a), Shared: cc.public || cc.mustRevalidate || cc.sMaxAge.given, Withheld: cc.withheld}
	if v.Reason = forbidden(q, a, &cc); v.Reason != NoReason {
		return v
	}
	if v.Lifetime, v.Reason = lifetime(q, a, &cc, targeted, v.Age); v.Reason != NoReason {
		return v
	}
	if v.Lifetime <= 0 {
		if !validatable(a.Header) && !cc.bridged() {
			v.Reason = Expired
			if cc.noCache {
				v.Reason = NoCache
			}
			return v
		}
		v.Lifetime = 0
	}
	v.Lifetime = min(v.Lifetime, MaxDelta*time.Second)
	v.MayStale = !cc.mustRevalidate && !cc.proxyRevalidate && !cc.sMaxAge.given && !cc.noCache && !Fails(a.Status)
	if v.MayStale {
		v.StaleWhileRevalidate, v.StaleIfError = cc.staleWhileRevalidate.duration(), cc.staleIfError.duration()
		if q.StaleWhileRevalidate != nil {
			v.StaleWhileRevalidate = *q.StaleWhileRevalidate
		}
		if q.StaleIfError != nil {
			v.StaleIfError = *q.StaleIfError
		}
	}
	v.Store = true
	return v
}

// forbidden names what forbids to store a response at all.
func forbidden(q *Question, a *Answer, cc *directives) Reason {
	switch {
	case a.Status < 200 || a.Status == 206 && !q.Part || a.Status == 304 || a.Status > 599:
		return StatusCode
	case q.Guarded && !KeptByDefault(a.Status):
		return StatusCode
	case cc.mustUnderstand && !understood(a.Status):
		return Unknown
	case cc.noStore && !cc.mustUnderstand: // section 5.2.2.3
		return NoStore
	case cc.private:
		return Private
	case len(a.Header["Set-Cookie"]) > 0 && !slices.Contains(cc.withheld, "Set-Cookie"):
		return SetCookie
	case q.Authorization && !cc.public && !cc.mustRevalidate && !cc.sMaxAge.given:
		return Authorized
	case q.TTL != nil && *q.TTL <= 0:
		return RouteTTL
	}
	for _, v := range a.Header["Vary"] {
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
// to caches like this one, can shorten it. It is said of pages: what isn't kept
// by default, such as an error, is kept as the origin says, or not at all.
func lifetime(q *Question, a *Answer, cc *directives, targeted bool, age time.Duration) (time.Duration, Reason) {
	if q.TTL != nil && KeptByDefault(a.Status) {
		t := *q.TTL
		if cc.sMaxAge.given {
			t = min(t, cc.sMaxAge.duration()-age)
		}
		return t, NoReason
	}
	expiry := !targeted && len(a.Header["Expires"]) > 0
	said := cc.sMaxAge.given || cc.maxAge.given || expiry
	mayGuess := KeptByDefault(a.Status) || cc.public
	pragma := !targeted && len(a.Header["Cache-Control"]) == 0 && strings.Contains(strings.ToLower(a.Header.Get("Pragma")), "no-cache")
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
	case q.Guarded:
		return DefaultLifetime, NoReason
	case q.Heuristics && mayGuess:
		if t := guess(a); t > 0 {
			return t - age, NoReason
		}
	case q.TTL != nil:
		return 0, StatusCode
	}
	return 0, NoLifetime
}

// DefaultLifetime is how long a response with dependencies is kept when
// neither the route nor the origin says.
const DefaultLifetime = time.Hour

// maxGuess bounds heuristic lifetimes.
const maxGuess = 24 * time.Hour

// guess is the heuristic lifetime of a response: a tenth of the time since it
// was last modified (RFC 9111 section 4.2.2). 0 where that isn't known.
func guess(a *Answer) time.Duration {
	modified, ok := ParseDate(a.Header.Get("Last-Modified"))
	if !ok {
		return 0
	}
	return min(dated(a).Sub(modified)/10, maxGuess)
}

// dated is when a response was made, as far as is known.
func dated(a *Answer) time.Time {
	if date, ok := ParseDate(a.Header.Get("Date")); ok {
		return date
	}
	return a.Received
}

// expires is the lifetime that Expires gives. A date that can't be read is in
// the past (RFC 9111 section 5.3).
func expires(a *Answer) time.Duration {
	values := a.Header["Expires"]
	if len(values) != 1 {
		return 0
	}
	at, ok := ParseDate(values[0])
	if !ok {
		return 0
	}
	return at.Sub(dated(a))
}

// currentAge is the age of a response on arrival (RFC 9111 section 4.2.3).
func currentAge(a *Answer) time.Duration {
	var apparent time.Duration
	if date, ok := ParseDate(a.Header.Get("Date")); ok {
		apparent = max(0, a.Received.Truncate(time.Second).Sub(date))
	}
	said := saidAge(a.Header["Age"]) + a.Received.Sub(a.Sent)
	return min(max(apparent, said), MaxDelta*time.Second)
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

// Lasting tells whether a response says itself how long it is fresh, which
// allows to keep one to POST (RFC 9110 section 9.3.3).
func Lasting(a *Answer) bool {
	cc, targeted := policyOf(a.Header)
	return cc.maxAge.given || cc.sMaxAge.given || !targeted && len(a.Header["Expires"]) > 0
}

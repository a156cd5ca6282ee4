package rfc9111

import (
	"strings"
	"time"
)

// Wish is what a request's Cache-Control and Pragma ask for (RFC 9111 sections
// 5.2.1 and 5.4). The zero value takes whatever is fresh.
type Wish struct {
	NoStore      bool // its response may not be kept
	NoCache      bool // a stored response is validated first
	OnlyIfCached bool // the origin is not asked

	maxAge, minFresh, maxStale delta
	staleIfError               delta
}

// Plain tells whether the request takes whatever is fresh. What it says of
// errors counts only once there is one.
func (w Wish) Plain() bool {
	w.staleIfError = delta{}
	return w == Wish{}
}

// StaleIfError is how long past its lifetime the request takes a response in
// the place of an error (RFC 5861 section 4); 0 if it doesn't say.
func (w *Wish) StaleIfError() time.Duration { return w.staleIfError.duration() }

// ParseWish reads the values of a request's Cache-Control, and where it has
// none those of Pragma.
func ParseWish(cacheControl, pragma []string) Wish {
	if len(cacheControl) == 0 {
		for _, p := range pragma {
			if strings.Contains(strings.ToLower(p), "no-cache") {
				return Wish{NoCache: true}
			}
		}
		return Wish{}
	}
	d := parseDirectives(cacheControl...)
	return Wish{NoStore: d.noStore, NoCache: d.noCache, OnlyIfCached: d.onlyIfCached, maxAge: d.maxAge, minFresh: d.minFresh, maxStale: d.maxStale, staleIfError: d.staleIfError}
}

// Admits tells whether a response of that age and remaining lifetime, negative
// once it is over, is what the request wants without validation.
func (w *Wish) Admits(age, left time.Duration) bool {
	return !w.NoCache && (!w.maxAge.given || age <= w.maxAge.duration()) && (!w.minFresh.given || left >= w.minFresh.duration())
}

// AdmitsStale tells whether the request takes a response of that age whose
// lifetime has been over for so long.
func (w *Wish) AdmitsStale(age, over time.Duration) bool {
	return w.maxStale.given && over <= w.maxStale.duration() && w.Admits(age, -over)
}

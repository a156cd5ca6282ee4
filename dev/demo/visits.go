package main

import (
	"hash/maphash"
	"slices"
	"sync"

	"github.com/dunglas/httpsfv"
)

// cause is why a request was answered as it was.
type cause uint8

const (
	elsewhere  cause = iota // past the cache, without proof of freshness, after its lifetime, or by no proxy
	fromCache               // a hit
	firstVisit              // a miss: nobody had asked for the page before
	afterPurge              // a miss: it had been kept, or would have been, and a change ended that
)

// cacheStatus is what the proxy says in Cache-Status (RFC 9211).
type cacheStatus struct {
	ours      bool // there is such a member; all else is empty without
	hit       bool
	forwarded string
	asked     bool // the origin has answered, this request or the one whose response it shares
	stored    bool
	detail    string
}

// readStatus reads the field: a list with one member for each cache on the way, ours is called walpurge.
func readStatus(field []string) (s cacheStatus) {
	list, err := httpsfv.UnmarshalList(field)
	if err != nil {
		return s
	}
	for _, member := range list {
		item, ok := member.(httpsfv.Item)
		if !ok || item.Value != httpsfv.Token("walpurge") {
			continue
		}
		flag := func(name string) bool {
			v, _ := item.Params.Get(name)
			yes, _ := v.(bool)
			return yes
		}
		word := func(name string) string {
			v, _ := item.Params.Get(name)
			token, _ := v.(httpsfv.Token)
			return string(token)
		}
		_, asked := item.Params.Get("fwd-status")
		return cacheStatus{ours: true, hit: flag("hit"), forwarded: word("fwd"), asked: asked, stored: flag("stored"), detail: word("detail")}
	}
	return s
}

// visits remembers which pages the proxy had to keep. A page that was purged and one that was never asked for look alike to the proxy: neither is
// stored. What tells them apart is whether an answer to an earlier request was kept, or was given up for a change alone. So all requests
// must go through here, also those of who isn't counted. A page whose lifetime is over is there and says so. One that
// had to make room in memory comes from Redis and is a hit; only where Redis has dropped it too does it count as purged.
type visits struct {
	seed maphash.Seed

	mu struct {
		sync.Mutex
		kept map[uint64]bool // by URL's hash
	}
}

func newVisits() *visits {
	v := &visits{seed: maphash.MakeSeed()}
	v.mu.kept = map[uint64]bool{}
	return v
}

// kept tells whether url was kept when it was last answered. It is to be asked before a request is sent: who asks while the first
// answer is on its way is on a first visit too.
func (v *visits) kept(url string) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.mu.kept[maphash.String(v.seed, url)]
}

// whatChanges are the details of answers that weren't stored for no reason but a change.
var whatChanges = []string{"change", "pending", "epoch", "invalidated"}

// answered notes an answer, and tells why it is as it is. kept is what kept said before.
func (v *visits) answered(url string, kept bool, s cacheStatus) cause {
	if !s.ours {
		return elsewhere
	}
	if missed := s.forwarded == "uri-miss"; s.hit || missed {
		v.mu.Lock()
		v.mu.kept[maphash.String(v.seed, url)] = s.hit || s.stored || slices.Contains(whatChanges, s.detail)
		v.mu.Unlock()
	}
	switch {
	case s.hit:
		return fromCache
	case s.forwarded != "uri-miss":
		return elsewhere
	case kept:
		return afterPurge
	case s.stored || slices.Contains(whatChanges, s.detail):
		return firstVisit
	}
	return elsewhere // nothing that is kept
}

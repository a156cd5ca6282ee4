package rig

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"
)

// The oracle's workload. Every listing carries its version in its title, and
// one writer owns it, so its versions are committed in order.
const (
	oracleListings = 120
	oracleCities   = 6
	oracleWriters  = 4 // that write to the database; carriers write through the proxies
	Readers        = 6
)

// oracle knows every committed version of every listing.
type oracle struct {
	owners   int // how many share the listings
	listings [oracleListings + 1]oracleListing
}

type oracleListing struct {
	mu       sync.Mutex
	versions []oracleVersion // in the order of their commits
	adrift   bool            // nobody knows whether the last one is committed, so nobody writes another
}

// oracleVersion is one committed version. Its commit record ends at or before
// lsn and its commit had returned at the time committed.
type oracleVersion struct {
	number    int
	city      int
	lsn       uint64
	committed time.Time
}

// fill inserts the first version of every listing.
func (o *oracle) fill(r *Rig) {
	for id := 1; id <= oracleListings; id++ {
		r.Insert(id, "v1", cityName(id%oracleCities), "house", id%5, "100")
		o.listings[id].versions = []oracleVersion{{number: 1, city: id % oracleCities, committed: time.Now()}}
	}
}

// owned is one of owner's listings.
func (o *oracle) owned(owner int, rnd *rand.Rand) (id int) {
	return 1 + rnd.IntN(oracleListings/o.owners)*o.owners + owner
}

// intend notes the next version of one of owner's listings. From here on it
// may be seen. It returns a zero version when there is nothing to write.
func (o *oracle) intend(owner int, rnd *rand.Rand) (id int, next oracleVersion) {
	id = o.owned(owner, rnd)
	l := &o.listings[id]
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.adrift {
		return id, oracleVersion{}
	}
	last := l.versions[len(l.versions)-1]
	next = oracleVersion{number: last.number + 1, city: last.city, lsn: 1<<64 - 1, committed: time.Now().Add(time.Hour)}
	if rnd.IntN(4) == 0 {
		next.city = rnd.IntN(oracleCities)
	}
	l.versions = append(l.versions, next)
	return id, next
}

// committed notes that the commit of the version intended last has returned,
// and ends at or before lsn.
func (o *oracle) committed(id int, at time.Time, lsn uint64) {
	l := &o.listings[id]
	l.mu.Lock()
	defer l.mu.Unlock()
	last := &l.versions[len(l.versions)-1]
	last.lsn, last.committed = lsn, at
	if len(l.versions) > 2000 { // readers look from the end
		l.versions = append(l.versions[:0], l.versions[1000:]...)
	}
}

// lost notes that the version intended last may or may not be committed, now
// or later.
func (o *oracle) lost(id int) {
	l := &o.listings[id]
	l.mu.Lock()
	defer l.mu.Unlock()
	l.adrift = true
}

// since returns the oldest version that a response may show: the last one
// whose commit ends at or before mark or had returned before the time given,
// and everything after it may be shown.
//
// mark is a watermark that the proxy asked has reported before, so the commit
// was settled there; or the position that a client carries.
func (o *oracle) since(id int, mark uint64, before time.Time) (oldest int) {
	l := &o.listings[id]
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := len(l.versions) - 1; i >= 0; i-- {
		if v := l.versions[i]; v.lsn <= mark || v.committed.Before(before) {
			return v.number
		}
	}
	return 0
}

// newest is the highest version that may exist.
func (o *oracle) newest(id int) int {
	l := &o.listings[id]
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.versions[len(l.versions)-1].number
}

// stays tells whether the listing is in city in every version from oldest on.
// An update under way may still move it, so a writer notes its intention first.
func (o *oracle) stays(id, city, oldest int) bool {
	l := &o.listings[id]
	l.mu.Lock()
	defer l.mu.Unlock()
	seen := false
	for i := len(l.versions) - 1; i >= 0; i-- { // readers look from the end
		v := l.versions[i]
		if v.number < oldest {
			break
		}
		seen = true
		if v.city != city {
			return false
		}
	}
	return seen
}

func cityName(i int) string { return "City" + strconv.Itoa(i) }

// NextItem finds the next version in a JSON body, and the id of its listing. field is the
// member that versions stand in, the title or the agent's name; an agent has its listing's id.
func NextItem(body []byte, field string) (id, version int, rest []byte) {
	text := []byte(`"` + field + `":"v`)
	at := bytes.Index(body, text)
	if at < 0 {
		return 0, 0, nil
	}
	from := bytes.LastIndex(body[:at], []byte(`"id":`))
	id = leadingInt(body[from+len(`"id":`):])
	return id, leadingInt(body[at+len(text):]), body[at+len(text):]
}

func leadingInt(b []byte) (n int) {
	for _, c := range b {
		if c < '0' || c > '9' {
			break
		}
		n = n*10 + int(c-'0')
	}
	return n
}

func versionTitle(n int) string { return fmt.Sprint("v", n) }

package rig

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"walpurge/internal/coherence"
)

// clientKind is what a client asks for beyond max_lag.
type clientKind int

const (
	plainClient  clientKind = iota
	carrier                 // it carries positions: read your writes (G3)
	strictClient            // it reads the strict routes (G4)
)

// OracleHost is what requests name: what one proxy stores in Redis is for all.
const OracleHost = "listings.test"

// oracleClient sends one request after the other, each to any of the proxies.
type oracleClient struct {
	*Trial
	kind  clientKind
	id    int
	owner int // of the listings that a carrier writes

	rnd *rand.Rand
	req fasthttp.Request
	rsp fasthttp.Response
	c   fasthttp.Client // its ReadTimeout is set: a request that is never answered is a failure

	m *Member // that is asked
	p *Rig    // the proxy there

	tokens  positions
	written int                     // the listing that the client has just written; 0: none
	floor   [oracleListings + 1]int // versions known to be covered by tokens
	min     [oracleListings + 1]int
}

func newOracleClient(tr *Trial, kind clientKind, id, owner int) *oracleClient {
	c := &oracleClient{Trial: tr, kind: kind, id: id, owner: owner, rnd: rand.New(rand.NewPCG(1, uint64(id)))}
	c.c.ReadTimeout = 30 * time.Second
	return c
}

// work goes on until the trial ends.
func (c *oracleClient) work(ctx context.Context) {
	for !c.ended.Load() && ctx.Err() == nil {
		c.m = c.Members[c.rnd.IntN(len(c.Members))]
		if c.p = c.m.Proxy.Load(); c.p == nil {
			continue
		}
		switch n := c.rnd.IntN(20); {
		case n == 0 && c.kind == carrier:
			c.write()
		case n < 3:
			c.readCity()
		default:
			c.readListing()
		}
	}
}

// bound is what a response to a request that starts now is held against: the
// position that it has to cover, and the time by which a commit that it has to
// cover had returned.
func (c *oracleClient) bound() (mark uint64, before time.Time) {
	const maxLag = time.Second // the configuration's default
	mark, now := c.p.mark.Load(), time.Now()
	switch c.kind {
	case strictClient:
		return mark, now
	case carrier:
		return max(mark, c.tokens.highest()), now.Add(-maxLag)
	}
	return mark, now.Add(-maxLag)
}

// choose picks a listing. What has just changed is where a page would be older
// than a client allows that asks for more than max_lag.
func (c *oracleClient) choose() (id int) {
	switch written := c.written; {
	case written != 0:
		c.written = 0
		return written
	case c.kind != plainClient && c.rnd.IntN(3) == 0 && c.latest.Load() != 0:
		return int(c.latest.Load())
	}
	return 1 + min(int(c.rnd.ExpFloat64()*20), oracleListings-1)
}

func (c *oracleClient) readListing() {
	id := c.choose()
	if c.kind == carrier {
		c.meet()
		c.cover(id, c.o.since(id, c.tokens.highest(), time.Time{}))
	}
	mark, before := c.bound()
	oldest, called := c.o.since(id, mark, before), c.strictOps.Now()
	path := fmt.Sprint("/api/listings/", id)
	if c.kind == plainClient && c.Spellings > 0 {
		path += fmt.Sprint("?spelling=", c.rnd.IntN(c.Spellings))
	}
	if !c.send("GET", path, "") {
		return
	}
	_, got, _ := NextItem(c.rsp.Body(), c.versions)
	switch c.kind {
	case strictClient:
		c.strictOps.Add(c.id, RegisterInput{Listing: id}, called, got)
	case carrier:
		c.carriedOps.Add(c.id, floorInput{client: c.id, listing: id}, called, got)
	}
	if newest := c.o.newest(id); got < oldest || got > newest {
		c.violated("listing %d shows v%d, at least v%d and at most v%d was due: %s", id, got, oldest, newest, c.rsp.Header.Peek("Cache-Status"))
	}
}

func (c *oracleClient) readCity() {
	city := c.rnd.IntN(oracleCities)
	mark, before := c.bound()
	for id := 1; id <= oracleListings; id++ {
		c.min[id] = c.o.since(id, mark, before)
	}
	if !c.send("GET", "/api/listings?page_size=100&city="+cityName(city), "") {
		return
	}
	body := c.rsp.Body()
	var shown [oracleListings + 1]bool
	for {
		id, got, rest := NextItem(body, c.versions)
		if id == 0 {
			break
		}
		body = rest
		shown[id] = true
		if got < c.min[id] {
			c.violated("the list of %s shows listing %d v%d, v%d was settled: %s", cityName(city), id, got, c.min[id], c.rsp.Header.Peek("Cache-Status"))
		}
	}
	for id := 1; id <= oracleListings; id++ {
		if !shown[id] && c.min[id] > 0 && c.o.stays(id, city, c.min[id]) {
			c.violated("the list of %s lacks listing %d, there since v%d: %s", cityName(city), id, c.min[id], c.rsp.Header.Peek("Cache-Status"))
		}
	}
}

// write changes a listing through the proxy, and keeps the position that it
// tells. One of no epoch covers the write like any other, but says nothing
// about where it ends.
func (c *oracleClient) write() {
	id, next := c.o.intend(c.owner, c.rnd)
	if next.number == 0 {
		return
	}
	in, called := RegisterInput{Listing: id, Version: next.number, Write: true}, c.strictOps.Now()
	body := fmt.Sprintf(`{"title":%q,"city":%q}`, versionTitle(next.number), cityName(next.city))
	if !c.send("PATCH", fmt.Sprint("/api/listings/", id), body) {
		c.o.lost(id)
		c.strictOps.lost(c.id, in, called)
		return
	}
	at, lsn := time.Now(), uint64(1<<64-1)
	c.strictOps.Add(c.id, in, called, 0)
	c.Changes.Add(1)
	c.written = id
	c.latest.Store(int64(id))
	position, err := coherence.ParsePosition(string(c.rsp.Header.Peek("Walpurge-Position")))
	if err != nil {
		c.failed("no position after a write: %v", err)
	}
	c.tokens = positions{position} // it covers all that was carried before
	c.board.put(c.owner, position)
	if position.LSN != 0 {
		lsn = uint64(position.LSN)
	}
	c.o.committed(id, at, lsn)
	c.cover(id, next.number)
}

// cover notes that what the client carries covers that version.
func (c *oracleClient) cover(id, version int) {
	if version > c.floor[id] {
		c.floor[id] = version
		c.carriedOps.Add(c.id, floorInput{client: c.id, listing: id, covers: true}, c.carriedOps.Now(), version)
	}
}

// meet takes over the position of another carrier now and then.
func (c *oracleClient) meet() {
	if c.rnd.IntN(10) == 0 {
		if p := c.board.any(c.rnd); p.LSN != 0 {
			c.tokens = c.tokens.with(p)
		}
	}
}

// send sends a request and tells whether there is a response to look at.
func (c *oracleClient) send(method, path, body string) bool {
	if c.kind == strictClient {
		path = "/strict" + path
	}
	c.req.Reset()
	c.req.Header.SetMethod(method)
	c.req.SetRequestURI(c.p.URL + path)
	c.req.UseHostHeader = true
	c.req.Header.SetHost(OracleHost)
	if len(c.tokens) > 0 && method == "GET" {
		c.req.Header.Set("Walpurge-Position", c.tokens.String())
	}
	if body != "" {
		c.req.Header.SetContentType("application/json")
		c.req.SetBodyString(body)
	}
	c.rsp.Reset()
	down := c.Down.Load()
	err := c.c.Do(&c.req, &c.rsp)
	c.Responses.Add(1)
	status := c.rsp.Header.Peek("Cache-Status")
	switch code := c.rsp.StatusCode(); {
	case err == nil && code == 200:
		if bytes.HasPrefix(status, []byte("walpurge; hit")) {
			c.noteHit(bytes.HasSuffix(status, []byte("; detail=redis")))
		}
		return true
	case err != nil && c.p.dead.Load():
		c.Excused.Add(1)
	case err == nil && code >= 500 && (down || c.Down.Load()) && strings.Contains(string(status), "fwd-status=5"):
		c.Excused.Add(1)
	default:
		c.failed("%s %s: %v, status %d, %s: %s", method, path, err, code, status, c.rsp.Body())
	}
	return false
}

func (c *oracleClient) noteHit(redis bool) {
	c.Hits.Add(1)
	if redis {
		c.RedisHits.Add(1)
	}
	switch {
	case c.kind == strictClient:
		c.strictHits.Add(1)
		return // that needs more than a proof
	case len(c.tokens) > 0:
		c.carriedHits.Add(1)
	}
	c.m.hit()
}

// positions are what a client carries: of each epoch the highest.
type positions []coherence.Position

func (p positions) with(q coherence.Position) positions {
	for i := range p {
		if p[i].Epoch == q.Epoch {
			p[i].LSN = max(p[i].LSN, q.LSN)
			return p
		}
	}
	return append(p, q)
}

// highest compares across epochs, which only a test may that knows the server.
func (p positions) highest() (at uint64) {
	for _, q := range p {
		at = max(at, uint64(q.LSN))
	}
	return at
}

// String is what stands in the header.
func (p positions) String() string {
	var all []string
	for _, q := range p {
		all = append(all, q.String())
	}
	return strings.Join(all, ", ")
}

// board is where carriers leave their positions for each other.
type board struct {
	mu sync.Mutex
	at map[int]coherence.Position
}

func (b *board) put(owner int, p coherence.Position) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.at == nil {
		b.at = make(map[int]coherence.Position)
	}
	b.at[owner] = p
}

func (b *board) any(rnd *rand.Rand) (p coherence.Position) {
	b.mu.Lock()
	defer b.mu.Unlock()
	skip := rnd.IntN(len(b.at) + 1)
	for _, p = range b.at { // in any order
		if skip--; skip < 0 {
			break
		}
	}
	return p
}

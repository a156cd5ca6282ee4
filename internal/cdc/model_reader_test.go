package cdc

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"pgregory.net/rapid"

	"walpurge/internal/coherence"
)

// modelMaxLag is some hundred steps.
const modelMaxLag = 200 * time.Millisecond

var modelTemplate = &coherence.Template{Equal: []coherence.Equal{{Column: 0}, {Column: 1}}}

// modelQuery is what a page shows: the listings with an id (0: any) in a city
// (empty: any).
type modelQuery struct {
	id   int
	city string
}

func (q modelQuery) dependencies(g *coherence.Guard) []coherence.Dependency {
	operands := make([]coherence.Operand, 2)
	if q.id != 0 {
		operands[0] = coherence.Operand{Present: true, Values: []string{strconv.Itoa(q.id)}}
	}
	if q.city != "" {
		operands[1] = coherence.Operand{Present: true, Values: []string{q.city}}
	}
	return g.Bind(modelTemplate, operands, nil)
}

// shows tells whether c changes what q shows.
func (q modelQuery) shows(c *modelCommit) bool {
	return (q.id == 0 || q.id == c.id) && (q.city == "" || q.city == c.old || q.city == c.new)
}

// modelPage is a fill, and later a cached response.
type modelPage struct {
	modelQuery
	handle coherence.Handle
	seen   map[*modelCommit]bool // nil: not read yet
	stored bool
	from   string // the process that read it
}

func (p *modelPage) Evicted(coherence.Cause) {}

// modelStored is a response in the Redis tier.
type modelStored struct {
	seen  map[*modelCommit]bool
	epoch coherence.Epoch
	asof  coherence.LSN
}

// modelArrival is a request on a strict route that waits for its proof.
type modelArrival struct {
	modelQuery
	at coherence.Nanos
}

// modelToken is a position that a client has of its own write.
type modelToken struct {
	epoch coherence.Epoch
	lsn   coherence.LSN
	at    coherence.Nanos // every commit shown by then had returned
}

func drawQuery(t *rapid.T) modelQuery {
	return modelQuery{rapid.IntRange(0, 3).Draw(t, "id"), rapid.SampledFrom(append([]string{""}, modelCities...)).Draw(t, "city")}
}

// proof is what a plain read needs: 0, or the instant that is proven.
func (p *modelProcess) proof() coherence.Nanos {
	proven := p.guard.Proven()
	if proven == 0 || p.w.now()-proven > coherence.Nanos(modelMaxLag) {
		return 0
	}
	return proven
}

// open begins a fill: without proof nothing is stored, so there is none.
func (p *modelProcess) open(t *rapid.T) {
	if p.proof() == 0 {
		t.Skip("not proven")
	}
	page := &modelPage{modelQuery: drawQuery(t), from: p.name}
	p.guard.Open(&page.handle, page, page.dependencies(p.guard))
	p.keep(page)
}

func (p *modelProcess) keep(page *modelPage) {
	const most = 8
	p.pages = slices.DeleteFunc(p.pages, func(o *modelPage) bool { return o.stored && !o.handle.Live() })
	if len(p.pages) == most {
		p.guard.Close(&p.pages[0].handle)
		p.pages = p.pages[1:]
	}
	p.pages = append(p.pages, page)
}

// page draws one of the process's pages.
func (p *modelProcess) page(t *rapid.T, wanted func(*modelPage) bool) *modelPage {
	var found []*modelPage
	for _, o := range p.pages {
		if wanted(o) {
			found = append(found, o)
		}
	}
	if len(found) == 0 {
		t.Skip("no such page")
	}
	return found[evenly(t, len(found), "page")]
}

// fetch is the origin reading what is visible.
func (p *modelProcess) fetch(t *rapid.T) {
	page := p.page(t, func(o *modelPage) bool { return !o.stored && o.seen == nil })
	page.seen = p.w.visible()
}

// finish ends a fill. What is admitted goes to the Redis tier as well.
func (p *modelProcess) finish(t *rapid.T) {
	page := p.page(t, func(o *modelPage) bool { return !o.stored && o.seen != nil })
	if !p.guard.Admit(&page.handle, page) {
		p.pages = slices.DeleteFunc(p.pages, func(o *modelPage) bool { return o == page })
		return
	}
	page.stored = true
	if !p.link.away() {
		p.w.redis.tier[page.modelQuery] = modelStored{page.seen, page.handle.Epoch(), page.handle.Asof()}
	}
}

// load takes a response from the Redis tier.
func (p *modelProcess) load(t *rapid.T) {
	if p.proof() == 0 || p.link.away() || len(p.w.redis.tier) == 0 {
		t.Skip("not proven, or nothing there")
	}
	there := slices.SortedFunc(maps.Keys(p.w.redis.tier), func(a, b modelQuery) int { return cmp.Or(a.id-b.id, strings.Compare(a.city, b.city)) })
	query := there[evenly(t, len(there), "query")]
	stored := p.w.redis.tier[query]
	page := &modelPage{modelQuery: query, seen: maps.Clone(stored.seen), stored: true, from: "redis"}
	if p.guard.OpenStored(&page.handle, page, query.dependencies(p.guard), stored.epoch, stored.asof) {
		p.w.count["responses from the Redis tier"]++
		p.keep(page)
	}
}

// hit serves a page with an ordinary proof (G1, G2).
func (p *modelProcess) hit(t *rapid.T) {
	proven := p.proof()
	if proven == 0 {
		t.Skip("not proven")
	}
	page := p.page(t, func(o *modelPage) bool { return o.stored && o.handle.Live() })
	p.w.count["hits"]++
	p.w.serve(t, p, page, proven)
}

// arrive is a strict request; serveStrict answers it once freshness is proven
// as of its arrival (G4).
func (p *modelProcess) arrive(t *rapid.T) {
	if len(p.strict) >= 3 {
		t.Skip("enough wait")
	}
	p.strict = append(p.strict, modelArrival{drawQuery(t), p.w.now()})
}

func (p *modelProcess) serveStrict(t *rapid.T) {
	for i, a := range p.strict {
		if p.guard.Proven() < a.at {
			continue
		}
		p.strict = slices.Delete(p.strict, i, i+1)
		for _, page := range p.pages {
			if page.stored && page.modelQuery == a.modelQuery && page.handle.Live() {
				p.w.count["strict hits"]++
				p.w.serve(t, p, page, p.guard.Proven())
				p.w.returned(t, p, page, a.at, "a strict read")
			}
		}
		return
	}
	t.Skip("nothing waits")
}

// token gives a client the position of its write, as the answer to it does.
func (p *modelProcess) token(t *rapid.T) {
	f, m := p.l.follower, p.server()
	if p.primaryCut || p.astray || p.w.strayed[p.guard.Epoch()] || !p.leading && !(f.mu.proving && f.mu.announced.Server == announced(m.server)) || p.leading && p.session.server != m.server {
		t.Skip("nobody to ask")
	}
	p.w.tokens = append(p.w.tokens, modelToken{p.guard.Epoch(), m.end, p.w.now()})
}

// readOwn reads with a token: a hit, or a place in a flight (G3, R7).
func (p *modelProcess) readOwn(t *rapid.T) {
	if len(p.w.tokens) == 0 {
		t.Skip("no token")
	}
	token := p.w.tokens[evenly(t, len(p.w.tokens), "token")]
	proven := p.proof()
	if proven == 0 || token.epoch != p.guard.Epoch() || token.lsn > p.guard.Applied() {
		t.Skip("not covered: it becomes a strict read")
	}
	page := p.page(t, func(o *modelPage) bool { return o.seen != nil && o.handle.Live() })
	if page.stored {
		p.w.count["hits with a token"]++
		p.w.serve(t, p, page, proven)
	} else {
		if !p.guard.Joinable(&page.handle) || page.handle.Asof() < token.lsn {
			t.Skip("not joinable")
		}
		p.w.count["joins with a token"]++
	}
	p.w.returned(t, p, page, token.at, "a read with a token")
}

// join takes a place in a flight without a token (R7).
func (p *modelProcess) join(t *rapid.T) {
	if p.proof() == 0 {
		t.Skip("not proven")
	}
	page := p.page(t, func(o *modelPage) bool { return !o.stored && o.seen != nil })
	if !p.guard.Joinable(&page.handle) {
		t.Skip("not joinable")
	}
	p.w.count["joins"]++
	for _, c := range p.w.primary.log {
		if c.end <= p.guard.Watermark() && page.shows(c) && !page.seen[c] && !p.behind() && !p.w.strayed[p.guard.Epoch()] {
			t.Fatalf("%s: a flight that was read before the settled commit %d–%d may be joined", p.name, c.start, c.end)
		}
	}
}

package coherence

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestNoResurrection runs the guard against a model of a primary, a log, an
// origin and a cache, in every order that PostgreSQL allows: commits become
// visible in an order of their own, are decoded late, keepalives stand
// anywhere between commits, snapshots are used late, fills read at any moment
// between their start and their end.
//
// What must hold after every step (G1, G5): whatever is stored and live was
// read when every applied commit that touches it was visible.
func TestNoResurrection(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newModel()
		t.Repeat(map[string]func(*rapid.T){
			"commit": m.commit, "show": m.show, "deliver": m.deliver, "keepalive": m.keepalive,
			"snapshot": m.snapshot, "settle": m.settle,
			"open": m.open, "read": m.read, "finish": m.finish, "relearn": m.relearn, "reset": m.reset,
			"": m.check,
		})
	})
}

type modelRow struct {
	city  string
	price int
}

type modelCommit struct {
	xid        uint32
	start, end LSN
	id         int
	old, new   *modelRow // as of the commit, in the order of the log
	full       bool      // replica identity FULL: the old row is sent
	shown      bool
	applied    bool
	epoch      Epoch
}

// touches tells whether the commit changes what a query of f sees or may see.
func (c *modelCommit) touches(f *modelFill) bool {
	return c.old != nil && f.selects(c.id, *c.old) || c.new != nil && f.selects(c.id, *c.new)
}

type modelFill struct {
	id       int    // 0: any
	city     string // "": any
	from, to int    // 0: open
	handle   Handle
	seen     map[*modelCommit]bool // nil: not read yet
	stored   bool
	asof     LSN
	epoch    Epoch
}

func (f *modelFill) Evicted(Cause) {}

func (f *modelFill) selects(id int, r modelRow) bool {
	return (f.id == 0 || f.id == id) && (f.city == "" || f.city == r.city) &&
		(f.from == 0 || r.price >= f.from) && (f.to == 0 || r.price <= f.to)
}

type model struct {
	g       *Guard
	tx      *Transaction
	rows    map[int]modelRow // after every commit of the log
	log     []*modelCommit
	next    int // log[next] is the next to deliver
	end     LSN
	xid     uint32
	flights []*modelFill
	stored  []*modelFill
	taken   *Snapshot
	epoch   Epoch
}

func newModel() *model {
	tables := []Table{{Name: "public.listings", Columns: []Column{{Name: "id", Kind: Integer}, {Name: "city", Kind: Text}, {Name: "price", Kind: Numeric}}}}
	g, err := New(Config{Tables: tables, FenceBits: 6}) // few fences: collisions must be harmless
	if err != nil {
		panic(err)
	}
	// Ids start just below 2^32 so that runs cross the wrap.
	m := &model{g: g, tx: NewTransaction(tables, 2), rows: map[int]modelRow{}, end: 1000, xid: 1<<32 - 3, epoch: 1}
	g.Reset(m.epoch, m.end)
	return m
}

var (
	modelCities = []string{"Lagos", "Accra", "Abuja"}
	modelPrices = []int{10, 20, 30}
)

func (m *model) commit(t *rapid.T) {
	c := &modelCommit{xid: m.xid, start: m.end + LSN(rapid.IntRange(0, 2).Draw(t, "gap")), id: rapid.IntRange(1, 3).Draw(t, "id"), full: rapid.Bool().Draw(t, "full")}
	// A row lock orders commits on one row: the next may only start once the
	// one before is visible.
	for _, o := range m.log {
		if o.id == c.id && !o.shown {
			t.Skip("the row is locked")
		}
	}
	m.xid++
	c.end = c.start + 5
	m.end = c.end
	if old, ok := m.rows[c.id]; ok {
		c.old = &old
	}
	if c.old == nil || rapid.IntRange(0, 4).Draw(t, "delete") > 0 {
		c.new = &modelRow{rapid.SampledFrom(modelCities).Draw(t, "city"), rapid.SampledFrom(modelPrices).Draw(t, "price")}
		m.rows[c.id] = *c.new
	} else {
		delete(m.rows, c.id)
	}
	m.log = append(m.log, c)
}

func (m *model) hidden(t *rapid.T) []*modelCommit {
	var h []*modelCommit
	for _, c := range m.log {
		if !c.shown {
			h = append(h, c)
		}
	}
	if len(h) == 0 {
		t.Skip("nothing hidden")
	}
	return h
}

func (m *model) show(t *rapid.T) {
	rapid.SampledFrom(m.hidden(t)).Draw(t, "commit").shown = true
}

func (m *model) deliver(t *rapid.T) {
	if m.next == len(m.log) {
		t.Skip("nothing to deliver")
	}
	c := m.log[m.next]
	m.next++
	row := func(r *modelRow) []Value {
		return []Value{
			{Known, []byte(strconv.Itoa(c.id))},
			{Known, []byte(r.city)},
			{Known, fmt.Appendf(nil, "%d.00", r.price)},
		}
	}
	m.tx.Begin(c.xid, c.start, time.Time{})
	var old, new []Value
	op := Update
	switch {
	case c.old == nil:
		op, new = Insert, row(c.new)
	case c.new == nil:
		op, old = Delete, row(c.old)
	default:
		old, new = row(c.old), row(c.new)
	}
	if old != nil && !c.full {
		old[1], old[2] = Value{}, Value{}
	}
	for range rapid.SampledFrom([]int{1, 1, 1, 3}).Draw(t, "rows") { // three rows make it a whole table
		m.tx.Append(0, op, old, new, AnyColumn)
	}
	m.tx.Commit(c.end)
	m.g.Apply(m.tx)
	c.applied, c.epoch = true, m.epoch
}

// keepalive says that everything before the next undelivered commit was sent.
// Its position may equal that commit's start.
func (m *model) keepalive(*rapid.T) {
	if m.next < len(m.log) {
		m.g.Advance(m.log[m.next].start)
		return
	}
	m.g.Advance(m.end)
}

func (m *model) snapshot(t *rapid.T) {
	s := &Snapshot{}
	// 64-bit ids: the epoch of the 32-bit counter is 1 after the wrap.
	wide := func(x uint32) uint64 {
		if x > 1<<31 {
			return uint64(x)
		}
		return 1<<32 | uint64(x)
	}
	s.XMax = wide(m.xid)
	for _, c := range m.log {
		if !c.shown {
			s.InProgress = append(s.InProgress, wide(c.xid))
		}
	}
	slices.Sort(s.InProgress)
	m.taken = s
}

func (m *model) settle(t *rapid.T) {
	if m.taken == nil {
		t.Skip("no snapshot")
	}
	m.g.Settle(*m.taken)
	m.taken = nil
}

func (m *model) draw(t *rapid.T) *modelFill {
	return &modelFill{
		id:   rapid.IntRange(0, 3).Draw(t, "id"),
		city: rapid.SampledFrom(append([]string{""}, modelCities...)).Draw(t, "city"),
		from: rapid.SampledFrom(append([]int{0}, modelPrices...)).Draw(t, "from"),
		to:   rapid.SampledFrom(append([]int{0}, modelPrices...)).Draw(t, "to"),
	}
}

func (m *model) deps(f *modelFill) []Dependency {
	tmpl := Template{Equal: []Equal{{Column: 0}, {Column: 1}}, Ranges: []int{2}}
	return m.g.Bind(&tmpl, []Operand{operandInt(f.id), operand(f.city)}, []Bounds{{operandInt(f.from), operandInt(f.to)}})
}

func operandInt(v int) Operand {
	if v == 0 {
		return Operand{}
	}
	return operand(strconv.Itoa(v))
}

func (m *model) open(t *rapid.T) {
	f := m.draw(t)
	m.g.Open(&f.handle, f, m.deps(f))
	f.asof, f.epoch = f.handle.Asof(), m.epoch
	m.flights = append(m.flights, f)
}

func (m *model) flight(t *rapid.T, read bool) *modelFill {
	for _, f := range m.flights {
		if (f.seen != nil) == read {
			return f
		}
	}
	t.Skip("no such flight")
	return nil
}

func (m *model) read(t *rapid.T) {
	f := m.flight(t, false)
	f.seen = map[*modelCommit]bool{}
	for _, c := range m.log {
		if c.shown {
			f.seen[c] = true
		}
	}
}

func (m *model) finish(t *rapid.T) {
	f := m.flight(t, true)
	m.flights = slices.DeleteFunc(m.flights, func(o *modelFill) bool { return o == f })
	if m.g.Admit(&f.handle, f) {
		f.stored = true
		m.stored = append(m.stored, f)
	}
}

// relearn is a response that went through Redis: it leaves the memory tier and
// comes back later with its asof.
func (m *model) relearn(t *rapid.T) {
	if len(m.stored) == 0 {
		t.Skip("nothing stored")
	}
	f := rapid.SampledFrom(m.stored).Draw(t, "stored")
	again := &modelFill{id: f.id, city: f.city, from: f.from, to: f.to, seen: maps.Clone(f.seen), stored: true, asof: f.asof, epoch: f.epoch}
	current := m.g.Current(m.deps(again), f.epoch, f.asof)
	if opened := m.g.OpenStored(&again.handle, again, m.deps(again), f.epoch, f.asof); opened != current {
		t.Fatalf("served once %t, kept %t", current, opened)
	} else if opened {
		m.stored = append(m.stored, again)
	}
}

func (m *model) reset(t *rapid.T) {
	if rapid.IntRange(0, 19).Draw(t, "really") > 0 {
		t.Skip("rarely")
	}
	m.epoch++
	// A slot made anew starts once every running transaction has ended.
	for _, c := range m.log {
		c.shown = true
	}
	m.next = len(m.log)
	m.taken = nil
	m.g.Reset(m.epoch, m.end)
}

func (m *model) check(t *rapid.T) {
	if m.g.Watermark() > m.g.Applied() {
		t.Fatalf("W %d above the applied position %d", m.g.Watermark(), m.g.Applied())
	}
	for _, c := range m.log {
		if c.end <= m.g.Watermark() && !c.shown {
			t.Fatalf("W %d covers the hidden commit that ends at %d", m.g.Watermark(), c.end)
		}
	}
	for _, f := range m.stored {
		if !f.handle.Live() {
			continue
		}
		if f.epoch != m.epoch {
			t.Fatalf("a response of epoch %d is live in epoch %d", f.epoch, m.epoch)
		}
		for _, c := range m.log {
			if c.applied && c.epoch == m.epoch && c.touches(f) && !f.seen[c] {
				t.Fatalf("a response with asof %d is live and was read before the commit %d–%d was visible", f.asof, c.start, c.end)
			}
		}
	}
	for _, f := range m.flights {
		if f.seen == nil || !m.g.Joinable(&f.handle) {
			continue
		}
		for _, c := range m.log {
			settled := c.applied && !slices.ContainsFunc(m.g.pending, func(p pendingTransaction) bool { return p.xid == c.xid })
			if settled && c.epoch == m.epoch && c.touches(f) && !f.seen[c] {
				t.Fatalf("a flight that was read before the settled commit %d–%d may be joined", c.start, c.end)
			}
		}
	}
	nodes := 0
	for _, s := range m.g.shapes[0] {
		for range s.all() {
			nodes++
		}
		s.byValue.check(t)
		s.byRange.check(t)
	}
	live := 0
	for _, f := range slices.Concat(m.stored, m.flights) {
		if f.handle.linked {
			live += len(f.handle.nodes())
		}
	}
	if nodes != live {
		t.Fatalf("the index holds %d nodes, the handles %d", nodes, live)
	}
}

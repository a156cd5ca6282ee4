package cdc

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"time"

	"pgregory.net/rapid"

	"walpurge/internal/cdc/primary"
	"walpurge/internal/coherence"
	"walpurge/internal/relay"
	"walpurge/internal/relay/relaytest"
)

// modelTables is what is watched in the model.
var modelTables = []coherence.Table{{Name: "public.listings", Columns: []coherence.Column{
	{Name: "id", Kind: coherence.Integer}, {Name: "city", Kind: coherence.Text},
}}}

var modelCities = []string{"Lagos", "Accra", "Abuja"}

// modelCommit is a commit from the flush of its record on. When it becomes
// visible, when it is sent and when it is undone are steps of their own.
type modelCommit struct {
	xid        uint32
	start, end coherence.LSN
	id         int
	old, new   string // its city, empty where there is no row
	flushed    coherence.Nanos
	shown      coherence.Nanos // visible, and its client has been answered; 0: not yet
	undone     coherence.Nanos // the server was set back to before it; 0: never
	promoted   bool            // undone by a promotion
}

// modelPrimary is the server: a log, a set of visible commits, and a slot.
type modelPrimary struct {
	now    func() coherence.Nanos
	server primary.Server
	log    []*modelCommit
	undone []*modelCommit
	cities map[int]string // of the rows, after every commit of the log
	end    coherence.LSN  // flushed up to here
	xid    uint32

	slot struct {
		exists, lost bool
		confirmed    coherence.LSN
		before       coherence.LSN // an earlier confirmed, which a crash may bring back
		holder       *modelWire
	}
	incarnation int // counts starts: connections don't outlive one

	backTo coherence.LSN   // where the server was set back to
	backAt coherence.Nanos // when; 0: never
}

// modelWire is a replication connection.
type modelWire struct {
	sent   coherence.LSN // everything up to here is on its way or received
	queue  []modelFrame
	closed bool // by the server; what is in the queue can still be read
}

// modelFrame is a commit, or a keepalive at a position.
type modelFrame struct {
	commit    *modelCommit
	keepalive coherence.LSN
}

var errModelGone = errors.New("the connection is gone")

func newModelPrimary(now func() coherence.Nanos) *modelPrimary {
	// Ids start just below 2^32 so that runs cross the wrap.
	return &modelPrimary{now: now, server: primary.Server{System: "1", Timeline: 1, Started: int64(now())}, cities: map[int]string{}, end: 1000, xid: 1<<32 - 3}
}

// commit flushes a commit that nobody can see yet.
func (m *modelPrimary) commit(t *rapid.T, limit coherence.LSN) *modelCommit {
	c := &modelCommit{xid: m.xid, start: m.end + coherence.LSN(rapid.IntRange(0, 2).Draw(t, "gap")), id: rapid.IntRange(1, 3).Draw(t, "id"), flushed: m.now()}
	c.end = c.start + 5
	if limit != 0 && c.end >= limit {
		t.Skip("nobody has noticed yet that the server was set back")
	}
	for _, o := range m.log {
		if o.id == c.id && o.shown == 0 {
			t.Skip("the row is locked")
		}
	}
	c.old = m.cities[c.id]
	if c.old == "" || rapid.IntRange(0, 4).Draw(t, "delete") > 0 {
		c.new = rapid.SampledFrom(modelCities).Draw(t, "city")
		m.cities[c.id] = c.new
	} else {
		delete(m.cities, c.id)
	}
	m.xid++
	m.end = c.end
	m.log = append(m.log, c)
	return c
}

func (m *modelPrimary) hidden() []*modelCommit {
	var h []*modelCommit
	for _, c := range m.log {
		if c.shown == 0 {
			h = append(h, c)
		}
	}
	return h
}

// snapshot is pg_current_snapshot().
func (m *modelPrimary) snapshot() *coherence.Snapshot {
	// The ids have 64 bits there: the counter's epoch is 1 after the wrap.
	wide := func(x uint32) uint64 {
		if x > 1<<31 {
			return uint64(x)
		}
		return 1<<32 | uint64(x)
	}
	s := &coherence.Snapshot{XMax: wide(m.xid)}
	for _, c := range m.hidden() {
		s.InProgress = append(s.InProgress, wide(c.xid))
	}
	slices.Sort(s.InProgress)
	return s
}

// send puts the next frame on the wire: a commit, or a keepalive whose
// position may be the start of a commit that comes after it.
func (m *modelPrimary) send(wire *modelWire, keepalive bool) {
	for _, c := range m.log {
		if c.end <= wire.sent {
			continue
		}
		if keepalive {
			wire.queue = append(wire.queue, modelFrame{keepalive: c.start})
			return
		}
		wire.sent = c.end
		wire.queue = append(wire.queue, modelFrame{commit: c})
		return
	}
	wire.queue = append(wire.queue, modelFrame{keepalive: m.end})
}

// hangUp ends a connection from the server's side.
func (m *modelPrimary) hangUp(wire *modelWire) {
	wire.closed = true
	if m.slot.holder == wire {
		m.slot.holder = nil
	}
}

func (m *modelPrimary) acknowledge(at coherence.LSN) {
	if at > m.slot.confirmed {
		m.slot.before, m.slot.confirmed = m.slot.confirmed, at
	}
}

// restart is a crash and the recovery from it: what is flushed becomes
// visible, connections break, and the slot may stand where it stood before.
func (m *modelPrimary) restart(slotBack bool) {
	m.incarnation++
	m.server.Started = int64(m.now())
	if m.slot.holder != nil {
		m.hangUp(m.slot.holder)
	}
	for _, c := range m.hidden() {
		c.shown = m.now()
	}
	if slotBack {
		m.slot.confirmed = m.slot.before
	}
}

// copy is another server, which has what m has now and runs beside it. Nobody
// writes to it.
func (m *modelPrimary) copy() *modelPrimary {
	c := *m
	c.log = nil
	for _, o := range m.log {
		there := *o
		c.log = append(c.log, &there)
	}
	c.undone, c.cities = nil, maps.Clone(m.cities)
	c.slot.holder = nil
	c.incarnation = -int(m.now())
	c.server.Started = int64(m.now())
	return &c
}

// setBack ends the log before the last n commits.
func (m *modelPrimary) setBack(n int, promoted bool) {
	n = min(n, len(m.log))
	for _, c := range slices.Backward(m.log[len(m.log)-n:]) {
		c.undone, c.promoted = m.now(), promoted
		m.undone = append(m.undone, c)
		delete(m.cities, c.id)
		if c.old != "" {
			m.cities[c.id] = c.old
		}
		m.end, m.xid = c.start, c.xid
	}
	m.log = m.log[:len(m.log)-n]
	m.slot.confirmed, m.slot.before = min(m.slot.confirmed, m.end), min(m.slot.before, m.end)
	m.restart(false)
}

// transaction is what pgoutput makes of c.
func (c *modelCommit) transaction(tx *coherence.Transaction, full bool) {
	version := func(city string) []coherence.Value {
		return []coherence.Value{
			{State: coherence.Known, Text: strconv.AppendInt(nil, int64(c.id), 10)},
			{State: coherence.Known, Text: []byte(city)},
		}
	}
	var old, new []coherence.Value
	op := coherence.Update
	if c.old != "" {
		if old = version(c.old); !full {
			old[1] = coherence.Value{}
		}
	} else {
		op = coherence.Insert
	}
	if c.new != "" {
		new = version(c.new)
	} else {
		op = coherence.Delete
	}
	tx.Begin(c.xid, c.start, time.Time{})
	tx.Append(0, op, old, new, coherence.AnyColumn)
	tx.Commit(c.end)
}

// modelRedis holds the relay's stream and the responses of the Redis tier.
type modelRedis struct {
	*relaytest.Stream
	tier  map[modelQuery]modelStored
	down  bool
	saved *relaytest.Stream
	rest  map[modelQuery]modelStored // saved with it
}

// modelLink is a process's connection to it.
type modelLink struct {
	redis *modelRedis
	p     *modelProcess
	page  int  // entries that one read returns
	lose  bool // the next answer is lost, after the command has been done
}

func (l *modelLink) away() bool { return l.redis.down || l.p.redisCut }

func (l *modelLink) Append(ctx context.Context, a *relay.Addition) (bool, error) {
	if l.away() {
		return false, errModelGone
	}
	found, err := l.redis.Append(ctx, a)
	if l.lose {
		l.lose = false
		return false, errModelGone
	}
	return found, err
}

func (l *modelLink) After(ctx context.Context, seq uint64, _ int, _ time.Duration) ([]relay.Message, error) {
	if l.away() {
		return nil, errModelGone
	}
	found, err := l.redis.After(ctx, seq, l.page, 0)
	return found[:min(len(found), l.page)], err
}

func (l *modelLink) UpTo(ctx context.Context, seq uint64) (relay.Message, error) {
	if l.away() {
		return relay.Message{}, errModelGone
	}
	return l.redis.UpTo(ctx, seq)
}

func (l *modelLink) Highest(ctx context.Context) (uint64, error) {
	if l.away() {
		return 0, errModelGone
	}
	return l.redis.Highest(ctx)
}

// The pace of entries is none of the model's business.

func (l *modelLink) Waiting(context.Context) (int, error)      { return 0, nil }
func (l *modelLink) Want(context.Context, time.Duration) error { return nil }
func (l *modelLink) Wanted(context.Context) (bool, error)      { return false, nil }

func (l *modelLink) Ask(ctx context.Context, id uint64, life time.Duration) error {
	if l.away() {
		return errModelGone
	}
	return l.redis.Ask(ctx, id, life)
}

func (l *modelLink) Asked(ctx context.Context, most int) ([]uint64, error) {
	if l.away() {
		return nil, errModelGone
	}
	return l.redis.Asked(ctx, most)
}

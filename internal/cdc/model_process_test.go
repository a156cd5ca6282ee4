package cdc

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
	"pgregory.net/rapid"

	"walpurge/internal/cdc/catalogue"
	"walpurge/internal/cdc/primary"
	"walpurge/internal/coherence"
	"walpurge/internal/relay"
)

// modelProcess is one proxy. What its goroutines do is done step by step,
// with the functions that they do it with.
type modelProcess struct {
	w        *modelWorld
	name     string
	l        *Listener
	guard    *coherence.Guard
	link     *modelLink
	tx       *coherence.Transaction
	readonly context.Context // has ended: nothing waits

	paused     bool // SIGSTOP
	redisCut   bool
	primaryCut bool
	astray     bool // new connections lead to the older copy

	session     *session // nil: it follows
	opening     *opening // of it
	plan        plan
	planned     bool
	leading     bool   // the session's stream has started
	horizon     uint32 // the first transaction id that the plan doesn't wait for
	incarnation int    // of the server that the session has connected to
	wire        *modelWire
	wireOf      *modelPrimary
	given       bool // the relay's writer has given up
	asking      bool // who leads: may the session take the slot?
	question    uint64
	excused     bool // from asking
	looking     *modelLook
	provenBy    *modelPrimary // whose answer was taken last

	asked  *modelQuestion
	taken  *coherence.Snapshot
	pages  []*modelPage
	strict []modelArrival
}

type modelQuestion struct {
	question
	lsn         coherence.LSN
	incarnation int
	of          *modelPrimary
}

// modelLook is a look at the server that others have asked for.
type modelLook struct {
	modelQuestion
	server primary.Server
	asked  []uint64
}

// server is where new connections lead.
func (p *modelProcess) server() *modelPrimary {
	if p.astray {
		return p.w.older
	}
	return p.w.primary
}

// modelCatalogue is what the catalogue says, always.
var modelCatalogue = func() *catalogue.Look {
	text := "look 1 f"
	for _, t := range modelTables {
		text += fmt.Sprintf("\n%q a b c d e", t.Name)
	}
	return catalogue.ParseLook(text)
}()

var errModelEnded = errors.New("receive: the connection has ended")

// start starts a process that knows nothing.
func (w *modelWorld) start(name string, foresee bool) *modelProcess {
	guard, err := coherence.New(coherence.Config{Tables: modelTables, FenceBits: 6}) // few fences: collisions must be harmless
	if err != nil {
		panic(err)
	}
	if foresee {
		guard.Use(modelTemplate)
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	p := &modelProcess{w: w, name: name, guard: guard, tx: coherence.NewTransaction(modelTables, 2), readonly: ended}
	cfg := Config{Scope: catalogue.Scope{Slot: "s", Publication: "p"}, MaxLag: modelMaxLag, Now: w.now, Relay: &relay.Config{MaxEntries: 8}}
	p.l = NewListener(cfg, &catalogue.Catalogue{Tables: modelTables}, guard, p)
	p.link = &modelLink{redis: w.redis, p: p, page: 2}
	p.l.follower.stream.Server = p.link
	p.l.follower.group = &errgroup.Group{} // what it would run are steps here
	p.l.follower.begin(ended)
	return p
}

func (p *modelProcess) Applied(*coherence.Transaction, *coherence.Purge, time.Duration) {}
func (p *modelProcess) Settled(time.Duration)                                           {}

// Epoch implements Observer: an epoch needs a reason that has happened.
func (p *modelProcess) Epoch(reason string, _ int) { p.w.epochBegan(p, reason) }

// follows tells whether the follower's own goroutines have something to do.
func (p *modelProcess) follows() bool { return !p.leading }

// connect is the beginning of a session.
func (p *modelProcess) connect(t *rapid.T) {
	m := p.server()
	if p.session != nil || p.primaryCut {
		t.Skip("connected, or cut off")
	}
	p.session = &session{shared: p.l.shared, follower: p.l.follower, server: m.server, catalogue: &catalogue.Catalogue{Look: modelCatalogue}}
	p.session.progress.shared = p.l.shared
	p.opening = &opening{session: p.session, history: &p.l.history}
	p.incarnation, p.planned = m.incarnation, false
	p.plan.standing = p.opening.arrive(p.readonly)
}

// decide is what comes next, up to the plan.
func (p *modelProcess) decide(t *rapid.T) {
	m := p.server()
	if p.session == nil || p.planned {
		t.Skip("nothing to plan")
	}
	if p.incarnation != m.incarnation || p.primaryCut {
		p.end(errModelEnded)
		return
	}
	if m.slot.holder != nil {
		p.end(catalogue.ErrSlotInUse)
		return
	}
	found := p.plan.standing
	found.position = m.end
	var heard bool
	if found.setBack, heard = p.hear(t, found); !heard {
		return
	}
	switch {
	case m.slot.lost:
		found.provided = "slot_lost"
		m.slot.exists = false
	case !m.slot.exists:
		found.provided = "slot_missing"
	}
	if !m.slot.exists {
		m.slot.exists, m.slot.lost = true, false
		m.slot.confirmed, m.slot.before = m.end, m.end
	}
	found.slot = m.slot.confirmed
	p.plan, p.planned = p.opening.plan(p.readonly, found), true
	p.horizon = m.xid
}

// lead is the rest of it: the horizon has passed, the stream starts.
func (p *modelProcess) lead(t *rapid.T) {
	m := p.server()
	if p.session == nil || !p.planned || p.leading {
		t.Skip("nothing planned")
	}
	if p.incarnation != m.incarnation || p.primaryCut {
		p.end(errModelEnded)
		return
	}
	if p.plan.waits() {
		for _, c := range m.hidden() {
			if int32(c.xid-p.horizon) < 0 {
				t.Skip("the horizon has not passed")
			}
		}
	}
	at := p.opening.startAt(p.plan)
	switch {
	case m.slot.holder != nil:
		p.end(catalogue.ErrSlotInUse)
		return
	case !m.slot.exists || m.slot.lost || m.slot.confirmed > at:
		p.end(fmt.Errorf("the slot has gone or moved"))
		return
	}
	p.wire, p.wireOf = &modelWire{sent: max(at, m.slot.confirmed)}, m
	m.slot.holder = p.wire
	if err := p.opening.begin(p.readonly, p.plan, at); err != nil {
		p.end(err)
		return
	}
	if m != p.server() { // led back meanwhile
		p.end(errModelEnded)
		return
	}
	p.leading, p.asked = true, nil
	p.w.took(p)
}

// hear asks who leads whether the session may go on, if it has to. It tells
// whether it is known.
func (p *modelProcess) hear(t *rapid.T, found standing) (setBack, known bool) {
	f := p.l.follower
	switch {
	case !p.asking && !p.opening.astray(found):
		h := &p.l.history
		p.excused = h.doubt != "" || !h.begun || p.guard.Epoch() == 0 || h.server == p.session.server || h.server.Timeline < p.session.server.Timeline
		return false, true
	case !p.asking:
		p.opening.hesitate()
		p.w.asked[f.request()] = p.w.now()
		p.asking = true
		p.question = f.mu.request
		p.w.count["questions"]++
	case f.mu.answered:
		p.w.count["answers"]++
		if p.w.looked[p.question] < p.w.asked[p.question] {
			t.Fatalf("%s is answered from a look that began at %d, before it asked at %d", p.name, p.w.looked[p.question], p.w.asked[p.question])
		}
		p.end(p.opening.turnAway())
		return false, false
	case p.w.now()-p.w.asked[p.question] >= coherence.Nanos(lookPatience), evenly(t, 32, "patience") == 0:
		p.w.count["questions in vain"]++
		return true, true
	}
	_ = f.stream.Ask(p.readonly, f.mu.request)
	return false, false
}

// lookAnew begins a look at the server that others have asked for.
func (p *modelProcess) lookAnew(t *rapid.T) {
	if !p.leading || p.primaryCut || p.looking != nil {
		t.Skip("it doesn't lead, or looks already")
	}
	ids := p.session.writer.Requests()
	if len(ids) == 0 {
		t.Skip("nobody asks")
	}
	m := p.server()
	q := question{before: p.guard.Applied(), asked: p.w.now()}
	for _, id := range ids {
		p.w.looked[id] = q.asked
	}
	p.looking = &modelLook{modelQuestion{q, m.end, m.incarnation, m}, m.server, ids}
}

// tell tells what came of it.
func (p *modelProcess) tell(t *rapid.T) {
	q := p.looking
	if q == nil {
		t.Skip("it doesn't look")
	}
	p.looking = nil
	err := p.session.server.Expect(q.server)
	if errors.Is(err, primary.ErrOtherStart) {
		err = primary.EndsAt(err, q.lsn, q.before)
	}
	if err == nil && q.incarnation == q.of.incarnation {
		if _, err = p.session.answered(q.question, q.lsn); err == nil {
			p.session.writer.Answer(q.asked)
		}
	}
	if err != nil {
		p.end(err)
	}
}

// end ends a session, as Listener.session and Listener.Run do.
func (p *modelProcess) end(err error) {
	if p.leading {
		p.session.leave(context.Background(), err)
	}
	p.l.follower.endTerm()
	if p.wire != nil {
		p.wireOf.hangUp(p.wire)
	}
	p.session, p.leading, p.wire, p.taken, p.asked, p.given, p.asking, p.looking = nil, false, nil, nil, nil, false, false, nil
	p.l.ended(err)
	p.l.follower.begin(p.readonly)
}

// deliver receives one frame from the slot.
func (p *modelProcess) deliver(t *rapid.T) {
	if !p.leading {
		t.Skip("it doesn't lead")
	}
	if len(p.wire.queue) == 0 {
		if p.wire.closed {
			p.end(errModelEnded)
			return
		}
		if p.primaryCut {
			t.Skip("cut off")
		}
		p.wireOf.send(p.wire, evenly(t, 4, "keepalive") == 1)
	}
	f := p.wire.queue[0]
	p.wire.queue = p.wire.queue[1:]
	if f.commit == nil {
		p.session.progress.advance(f.keepalive)
		return
	}
	f.commit.transaction(p.tx, rapid.Bool().Draw(t, "full"))
	p.session.progress.receive(p.tx)
}

// acknowledge sends a status.
func (p *modelProcess) acknowledge(t *rapid.T) {
	if !p.leading || p.wire.closed || p.primaryCut {
		t.Skip("nobody to tell")
	}
	p.wireOf.acknowledge(p.session.progress.settled())
}

// write is one attempt of the relay's writer.
func (p *modelProcess) write(t *rapid.T) {
	if !p.leading {
		t.Skip("it doesn't lead")
	}
	if p.given {
		if p.link.away() {
			t.Skip("redis is away")
		}
		p.end(&doubt{"relay", errors.New("redis is back")})
		return
	}
	p.link.lose = rapid.IntRange(0, 19).Draw(t, "lose") == 0
	w := p.session.writer
	_, err := w.Drain(p.readonly)
	err = broken(err)
	p.link.lose = false
	if errors.Is(err, relay.ErrFenced) || doubtOf(err) != nil {
		p.end(err)
	}
}

// giveUp is what the writer does after patience without Redis.
func (p *modelProcess) giveUp(t *rapid.T) {
	if !p.leading || p.given || !p.session.writer.Unsent() || !p.link.away() {
		t.Skip("nothing to give up")
	}
	p.session.writer.GiveUp()
	p.given = true
	p.w.happened("relay")
}

// look compares the end of the stream with what was written or read last.
func (p *modelProcess) look(*rapid.T) {
	switch {
	case p.leading && !p.given:
		if p.session.writer.Unsent() {
			return
		}
		if err := broken(p.session.writer.Check(p.readonly)); err != nil {
			p.end(err)
		}
	case p.follows():
		f := p.l.follower
		if rest, err := p.link.After(p.readonly, f.mu.Seq, p.link.page, 0); err == nil && len(rest) == 0 {
			_ = f.check(p.readonly, f.mu.Seq)
		}
	}
}

// read reads from the relay.
func (p *modelProcess) read(t *rapid.T) {
	f := p.l.follower
	if p.leading {
		t.Skip("it leads")
	}
	p.link.page = rapid.IntRange(1, 3).Draw(t, "page")
	from := f.mu.Seq
	entries, err := f.stream.Read(p.readonly, from, 0)
	if err != nil {
		t.Skip("redis is away")
	}
	f.take(from, entries)
}

// ask asks the primary for its flush position.
func (p *modelProcess) ask(t *rapid.T) {
	m, f := p.server(), p.l.follower
	if p.asked != nil || p.primaryCut {
		t.Skip("asked already, or cut off")
	}
	if !p.leading && !f.mu.proving {
		t.Skip("nothing to prove")
	}
	var expect primary.Server
	if p.leading {
		expect = p.session.server
	} else {
		expect = serverOf(f.mu.announced.Server)
	}
	if err := expect.Expect(m.server); err != nil { // Conn.verify
		if errors.Is(err, primary.ErrOtherStart) {
			err = primary.EndsAt(err, m.end, p.guard.Applied())
		}
		if p.leading {
			p.end(err)
		} else {
			f.misled(err)
		}
		return
	}
	p.asked = &modelQuestion{question{f.mu.term, p.guard.Applied(), p.w.now()}, m.end, m.incarnation, m}
}

// answer takes the answer.
func (p *modelProcess) answer(t *rapid.T) {
	q := p.asked
	if q == nil {
		t.Skip("nothing asked")
	}
	p.asked = nil
	if q.incarnation != q.of.incarnation {
		return
	}
	if p.leading {
		if _, err := p.session.answered(q.question, q.lsn); err != nil {
			p.end(err)
			return
		}
	} else if goes, _, _ := p.l.follower.answered(q.question, q.lsn); !goes {
		return
	}
	p.w.believes(p, q.of)
}

// snapshot asks for one; settle uses it, perhaps much later.
func (p *modelProcess) snapshot(t *rapid.T) {
	if !p.leading || p.primaryCut || p.incarnation != p.server().incarnation {
		t.Skip("it doesn't lead")
	}
	p.taken = p.w.primary.snapshot()
}

func (p *modelProcess) settle(t *rapid.T) {
	if p.taken == nil || !p.leading {
		t.Skip("no snapshot")
	}
	p.guard.Settle(*p.taken)
	p.taken = nil
}

package cdc

import (
	"flag"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"walpurge/dev/testbed"
	"walpurge/internal/coherence"
	"walpurge/internal/relay"
	"walpurge/internal/relay/relaytest"
)

// TestNothingStaleUnderAnyFault runs a leader, followers, the relay between
// them, the Redis tier and their clients against a model of PostgreSQL, in any
// order. Each process is the real guard, follower, relay writer and
// decision about epochs; what its goroutines do one beside the other are
// steps here, so a process may stand still between any two of them.
//
// A commit is flushed, sent and shown in steps of their own. Faults are
// steps too: a process that is killed, stopped and continued, cut off, or led to an
// older copy of the server; Redis emptied, set back, cut, or away; a slot dropped, made anew or
// lost; a server that crashes, is set back or replaced by a standby.
//
// After every step: what is served is provable (G1, G2), what has a token or is
// strict has all that had returned (G3, G4), no watermark covers what can't be
// seen, nothing is forgotten that somebody still needs (R5), and no epoch begins
// without a reason. At the end all is mended, and every process must agree and
// be proven fresh.
func TestNothingStaleUnderAnyFault(t *testing.T) {
	const wanted = 130_000
	total := map[string]int{"questions": 0, "answers": 0, "questions in vain": 0, "led astray": 0, "led back": 0, "terms on a copy": 0}
	setFlag(t, "rapid.steps", "300")
	setFlag(t, "rapid.checks", "50")
	setFlag(t, "rapid.shrinktime", "10m") // of virtual time
	// The same runs every time, so that a change that fails here is at fault;
	// other ones with -rapid.seed.
	for seed := 1; total["steps"] < wanted; seed++ {
		setFlag(t, "rapid.seed", strconv.Itoa(seed))
		synctest.Test(t, func(t *testing.T) {
			rapid.Check(bubble{t}, func(t *rapid.T) {
				w := newModelWorld(t)
				steps := w.steps()
				t.Repeat(map[string]func(*rapid.T){"": w.check, "step": func(t *rapid.T) { w.step(t, steps) }})
				w.mend(t)
				for what, n := range w.count {
					total[what] += n
				}
			})
		})
		if t.Failed() {
			return
		}
	}
	var parts []string
	for _, what := range slices.Sorted(maps.Keys(total)) {
		parts = append(parts, fmt.Sprintf("%s %d", what, total[what]))
		if what != "steps" && total[what] == 0 {
			t.Errorf("no %s", what)
		}
	}
	testbed.Measured(t, "%s", strings.Join(parts, ", "))
}

// bubble is a test in a bubble, which has no deadline.
type bubble struct{ *testing.T }

// setFlag sets a flag of rapid for the time of the test, unless it was given.
func setFlag(t *testing.T, name, value string) {
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == name })
	if given {
		return
	}
	before := flag.Lookup(name).Value.String()
	_ = flag.Lookup(name).Value.Set(value)
	t.Cleanup(func() { _ = flag.Lookup(name).Value.Set(before) })
}

// modelWorld is everything.
type modelWorld struct {
	began     time.Time
	primary   *modelPrimary
	older     *modelPrimary            // a copy of it that runs as well; nil: there is none
	strayed   map[coherence.Epoch]bool // led on a copy, because nobody led on the primary
	redis     *modelRedis
	processes []*modelProcess
	tokens    []modelToken
	faults    map[string]bool                     // what has happened that ends a history
	born      map[coherence.Epoch]coherence.Nanos // when a leader began it
	count     map[string]int
	t         *rapid.T // of the step
	calm      bool     // no faults in this run but of processes
	copied    bool     // nor others than that processes are led to a copy of the server, which is often

	asked, looked map[uint64]coherence.Nanos // when a question was put, and when the look for it began
}

func (w *modelWorld) now() coherence.Nanos { return coherence.Nanos(time.Since(w.began)) + 1 }

func newModelWorld(t *rapid.T) *modelWorld {
	w := &modelWorld{
		began: time.Now(), faults: map[string]bool{}, born: map[coherence.Epoch]coherence.Nanos{}, count: map[string]int{},
		strayed: map[coherence.Epoch]bool{},
		redis:   &modelRedis{Stream: relaytest.New(), tier: map[modelQuery]modelStored{}},
	}
	w.primary = newModelPrimary(w.now)
	w.t = t
	w.asked, w.looked = map[uint64]coherence.Nanos{}, map[uint64]coherence.Nanos{}
	w.calm = rapid.Bool().Draw(t, "calm")
	w.copied = !w.calm && rapid.Bool().Draw(t, "copied")
	for _, name := range []string{"A", "B", "C"} {
		w.processes = append(w.processes, w.start(name, rapid.IntRange(0, 3).Draw(t, "foresee") > 0))
	}
	return w
}

// modelStep is something that may happen.
type modelStep struct {
	name   string
	weight int
	do     func(*rapid.T)
}

// steps are those of the world and of each process, as often as they weigh.
func (w *modelWorld) steps() []modelStep {
	steps := []modelStep{
		{"commit", 2, w.commit}, {"show", 3, w.show}, {"pass", 2, w.pass}, {"process", 1, w.processFault}, {"fault", 1, w.fault}, {"converse", 5, w.converse}, {"lead elsewhere", 6, w.leadElsewhere},
	}
	for i := range w.processes {
		for _, s := range []struct {
			name   string
			weight int
			do     func(*modelProcess, *rapid.T)
		}{
			{"connect", 2, (*modelProcess).connect},
			{"decide", 2, (*modelProcess).decide},
			{"lead", 2, (*modelProcess).lead},
			{"deliver", 6, (*modelProcess).deliver},
			{"write", 5, (*modelProcess).write},
			{"acknowledge", 1, (*modelProcess).acknowledge},
			{"give up", 1, (*modelProcess).giveUp},
			{"look", 1, (*modelProcess).look},
			{"look anew", 2, (*modelProcess).lookAnew},
			{"tell", 2, (*modelProcess).tell},
			{"read", 6, (*modelProcess).read},
			{"ask", 5, (*modelProcess).ask},
			{"answer", 6, (*modelProcess).answer},
			{"snapshot", 2, (*modelProcess).snapshot},
			{"settle", 2, (*modelProcess).settle},
			{"open", 3, (*modelProcess).open},
			{"fetch", 3, (*modelProcess).fetch},
			{"finish", 3, (*modelProcess).finish},
			{"load", 2, (*modelProcess).load},
			{"hit", 3, (*modelProcess).hit},
			{"join", 2, (*modelProcess).join},
			{"arrive", 1, (*modelProcess).arrive},
			{"serve strict", 2, (*modelProcess).serveStrict},
			{"token", 1, (*modelProcess).token},
			{"read own", 3, (*modelProcess).readOwn},
		} {
			steps = append(steps, modelStep{s.name, s.weight, func(t *rapid.T) {
				p := w.processes[i]
				if p.paused {
					t.Skip("stopped")
				}
				w.say("%s: %s", p.name, s.name)
				s.do(p, t)
			}})
		}
	}
	var all []modelStep
	for _, s := range steps {
		for range s.weight {
			all = append(all, s)
		}
	}
	return all
}

// evenly draws one of n, each as likely as the others. Rapid's own choices
// prefer the first ones.
func evenly(t *rapid.T, n int, what string) int {
	v := 0
	for _, bit := range modelBits.Draw(t, what) {
		v *= 2
		if bit {
			v++
		}
	}
	return v % n
}

var modelBits = rapid.SliceOfN(rapid.Bool(), 10, 10)

// step does one that is possible.
func (w *modelWorld) step(t *rapid.T, steps []modelStep) {
	w.t = t
	const tries = 100
	for range tries {
		if w.try(t, steps[evenly(t, len(steps), "step")].do) {
			w.count["steps"]++
			return
		}
	}
}

// try does a step, at an instant of its own, and tells whether it was possible.
func (w *modelWorld) try(t *rapid.T, do func(*rapid.T)) (done bool) {
	time.Sleep(time.Millisecond)
	defer func() {
		// What rapid panics with for Skip has a type of its own.
		if r := recover(); r != nil && fmt.Sprintf("%T", r) != "rapid.invalidData" {
			panic(r)
		}
	}()
	do(t)
	return true
}

// say writes down what happens.
func (w *modelWorld) say(format string, args ...any) {
	w.t.Logf("at %v: %s", time.Since(w.began), fmt.Sprintf(format, args...))
}

func (w *modelWorld) commit(t *rapid.T) {
	w.primary.commit(t, w.unnoticed())
}

func (w *modelWorld) show(t *rapid.T) {
	h := w.primary.hidden()
	if len(h) == 0 {
		t.Skip("nothing hidden")
	}
	h[evenly(t, len(h), "commit")].shown = w.now()
}

// pass lets time pass.
func (w *modelWorld) pass(t *rapid.T) {
	switch evenly(t, 16, "time") {
	case 0:
		time.Sleep(heartbeat)
	case 1:
		time.Sleep(relay.Wait)
	case 2, 3, 4:
		time.Sleep(modelMaxLag / 2)
	default:
		time.Sleep(markPause)
	}
}

// visible is what a new snapshot sees.
func (w *modelWorld) visible() map[*modelCommit]bool {
	seen := map[*modelCommit]bool{}
	for _, c := range w.primary.log {
		if c.shown != 0 {
			seen[c] = true
		}
	}
	return seen
}

// happened notes a fault, which may be the reason for an epoch.
func (w *modelWorld) happened(what ...string) {
	for _, f := range what {
		w.faults[f] = true
	}
	w.count["faults"]++
}

// processFault is something that no epoch may come of: processes die and stop, and are cut off
// from the server.
func (w *modelWorld) processFault(t *rapid.T) {
	p := w.processes[evenly(t, len(w.processes), "process")]
	switch evenly(t, 12, "fault") {
	case 0: // kill -9; another one takes its place
		if p.wire != nil {
			p.wireOf.hangUp(p.wire)
		}
		i := slices.Index(w.processes, p)
		w.processes[i] = w.start(p.name, rapid.Bool().Draw(t, "foresee"))
		w.count["killed"]++
	case 1: // it is stopped, in order
		if p.leading {
			p.end(errModelEnded)
		}
		w.processes[slices.Index(w.processes, p)] = w.start(p.name, true)
		w.count["stopped"]++
	case 2, 3:
		p.paused = true
		if p.wire != nil && !p.wire.closed {
			for range rapid.IntRange(0, 3).Draw(t, "buffered") {
				p.wireOf.send(p.wire, false)
			}
			if rapid.Bool().Draw(t, "given up") {
				p.wireOf.hangUp(p.wire)
				w.count["zombies"]++
			}
		}
	case 4:
		p.primaryCut = true
		if p.wire != nil {
			p.wireOf.hangUp(p.wire)
		}
	case 5: // the server ends the stream
		if p.wire != nil {
			p.wireOf.hangUp(p.wire)
		}
	default:
		p.paused, p.primaryCut = false, false
	}
}

// fault is a fault that may end the history.
func (w *modelWorld) fault(t *rapid.T) {
	m, r := w.primary, w.redis
	if w.calm || w.copied {
		t.Skip("none in this run")
	}
	switch evenly(t, 18, "fault") {
	case 0:
		r.Empty()
		clear(r.tier)
		w.happened("redis", "gap")
	case 1:
		r.saved, r.rest = r.Copy(), maps.Clone(r.tier)
	case 2:
		if r.saved != nil {
			r.Restore(r.saved)
			r.tier = maps.Clone(r.rest)
			w.happened("redis", "gap")
		}
	case 3:
		if all := r.Entries(); len(all) > 1 {
			r.Trim(all[rapid.IntRange(1, len(all)-1).Draw(t, "trim")].Seq)
			w.happened("redis", "gap")
		}
	case 4, 5:
		r.down = !r.down
		w.happened("away")
	case 6, 7:
		p := w.processes[evenly(t, len(w.processes), "process")]
		p.redisCut = !p.redisCut
		w.happened("away")
	case 8: // dropped; perhaps made again at once
		if m.slot.holder != nil {
			m.hangUp(m.slot.holder)
		}
		m.slot.exists = rapid.Bool().Draw(t, "again")
		m.slot.lost, m.slot.confirmed, m.slot.before = false, m.end, m.end
		w.happened("slot_missing", "slot_ahead")
	case 9: // max_slot_wal_keep_size
		if m.slot.exists {
			if m.slot.holder != nil {
				m.hangUp(m.slot.holder)
			}
			m.slot.lost = true
			w.happened("slot_lost", "slot_ahead")
		}
	case 10:
		m.restart(rapid.Bool().Draw(t, "slot back"))
		w.count["restarts"]++
	case 11: // a standby is promoted, perhaps without the last commits and without the slot
		w.forgetCopy()
		m.setBack(rapid.IntRange(0, 2).Draw(t, "missing"), true)
		m.server.Timeline++
		m.slot.exists = m.slot.exists && rapid.Bool().Draw(t, "failover slot")
		w.happened("timeline", "slot_missing", "slot_ahead")
	case 12: // a storage snapshot is restored
		w.restore(t)
	case 13, 14, 15:
		w.leadAstray(t)
	case 16:
		w.leadBack(w.processes[evenly(t, len(w.processes), "process")])
	default:
		r.down = false
		for _, p := range w.processes {
			p.redisCut = false
		}
	}
}

// restore sets the server back on its timeline, which shows only in that its log ends
// before what somebody has applied. So it must, and no commit may bring it
// past that before everybody has noticed.
func (w *modelWorld) restore(t *rapid.T) {
	m := w.primary
	if len(m.log) == 0 || w.unnoticed() != 0 {
		t.Skip("nothing to set back")
	}
	n := rapid.IntRange(1, min(3, len(m.log))).Draw(t, "commits")
	to := m.log[len(m.log)-n].start
	for _, p := range w.processes {
		if p.guard.Applied() <= to || p.guard.Applied() == 0 {
			t.Skip("somebody has not applied what would go")
		}
	}
	w.forgetCopy()
	m.setBack(n, false)
	m.backTo, m.backAt = m.end, w.now()
	w.redis.saved = nil
	w.happened("behind")
}

// leadAstray leads a process to an older copy of the server. That it is older
// must show in its position at first.
func (w *modelWorld) leadAstray(t *rapid.T) {
	if w.older == nil {
		if len(w.primary.hidden()) > 0 {
			t.Skip("something is hidden, which a copy would show")
		}
		w.older = w.primary.copy()
		return
	}
	p := w.processes[evenly(t, len(w.processes), "process")]
	if p.astray || p.guard.Applied() <= w.older.end || w.strayed[p.guard.Epoch()] {
		t.Skip("led there already, or it would not show")
	}
	p.astray = true
	w.happened("behind", "system", "slot_ahead", "slot_missing")
	w.count["led astray"]++
	if p.wire != nil && rapid.Bool().Draw(t, "at once") {
		p.wireOf.hangUp(p.wire)
	}
}

// leadElsewhere is what happens often in some runs.
func (w *modelWorld) leadElsewhere(t *rapid.T) {
	p := w.processes[evenly(t, len(w.processes), "process")]
	switch {
	case !w.copied:
		t.Skip("not in this run")
	case !p.astray:
		w.leadAstray(t)
	case evenly(t, 16, "back") > 0:
		t.Skip("it stays there for a while")
	default:
		w.leadBack(p)
	}
}

// converse goes on with what somebody asks and somebody who leads answers. Each
// part of it may be left out, and then has its turn some other time.
func (w *modelWorld) converse(t *rapid.T) {
	i := slices.IndexFunc(w.processes, func(p *modelProcess) bool { return p.asking && !p.paused })
	if i < 0 {
		t.Skip("nobody asks")
	}
	p, steps := w.processes[i], []func(*rapid.T){}
	for _, o := range w.processes {
		if o.leading && !o.paused {
			steps = append(steps, o.look, o.lookAnew, o.tell, o.write, o.write)
		}
	}
	for _, s := range append(steps, p.read, p.read, p.decide) {
		if evenly(t, 8, "left out") > 0 {
			w.try(t, s)
			w.check(t)
		}
	}
}

func (w *modelWorld) leadBack(p *modelProcess) {
	if p.astray {
		p.astray = false
		w.count["led back"]++
	}
}

// forgetCopy ends the copy, for it is not to be newer than the server.
func (w *modelWorld) forgetCopy() {
	if w.older == nil {
		return
	}
	for _, p := range w.processes {
		w.leadBack(p)
	}
	w.older.incarnation--
	if h := w.older.slot.holder; h != nil {
		w.older.hangUp(h)
	}
	w.older = nil
}

// believes notes that p has taken an answer of m's as a proof. That of a copy counts
// where a copy is followed, and nowhere else.
func (w *modelWorld) believes(p *modelProcess, m *modelPrimary) {
	p.provenBy = m
	if m != w.primary && !w.strayed[p.guard.Epoch()] {
		w.t.Fatalf("%s believes a copy of the server", p.name)
	}
}

// unnoticed is the lowest position beyond where the server was set back to that somebody
// still believes to be in the log; 0: there is none.
func (w *modelWorld) unnoticed() coherence.LSN {
	m := w.primary
	if m.backAt == 0 {
		return 0
	}
	var lowest coherence.LSN
	note := func(epoch coherence.Epoch, applied coherence.LSN) {
		if born, ok := w.born[epoch]; ok && born < m.backAt && applied > m.backTo && (lowest == 0 || applied < lowest) {
			lowest = applied
		}
	}
	for _, p := range w.processes {
		note(p.guard.Epoch(), p.guard.Applied())
	}
	for _, s := range w.redis.Entries() {
		if e, err := s.Entry(); err == nil {
			note(e.Epoch, e.Applied)
		}
	}
	return lowest
}

// behind tells whether p's history is that of a server which is no more.
func (p *modelProcess) behind() bool {
	for _, c := range p.w.primary.undone {
		if p.w.born[p.guard.Epoch()] < c.undone {
			return true
		}
	}
	return false
}

// epochBegan checks that an epoch has a reason.
func (w *modelWorld) epochBegan(p *modelProcess, reason string) {
	epoch := p.guard.Epoch()
	_, known := w.born[epoch]
	if !known {
		w.born[epoch] = w.now()
		w.strayed[epoch] = p.astray
	}
	if !w.strayed[epoch] && w.older != nil && p.guard.Applied() <= w.older.end {
		w.forgetCopy() // it would not show any more that it is older
	}
	w.count["epochs"]++
	switch {
	case reason == "start" && (known || len(w.born) == 1): // who has just started enters the others'
	case reason == "start" && (w.faults["away"] || w.faults["redis"]):
	case w.faults[reason]:
	case known: // it follows: whatever the leader had
	case reason == "slot_ahead" && (w.faults["away"] || w.faults["redis"]): // what it should have read it couldn't
	case reason == "slot_ahead" && w.faults["relay"]:
	case reason == "redis" && w.faults["away"]: // what was to be written never was
	default:
		w.t.Fatalf("%s begins an epoch because of %s, which has not happened: %v", p.name, reason, w.faults)
	}
}

// took notes that p leads now.
func (w *modelWorld) took(p *modelProcess) {
	w.count["terms"]++
	switch {
	case !p.astray:
		w.strayed[p.guard.Epoch()] = false
	case !w.strayed[p.guard.Epoch()]:
		w.t.Fatalf("%s continues the history on a copy of the server", p.name)
	case !p.plan.setBack && !p.excused:
		w.t.Fatalf("%s leads on a copy of the server and has asked nobody", p.name)
	default:
		w.count["terms on a copy"]++
	}
}

// serve checks that page may be served by p, which has proven freshness as of
// proven (G1, G2).
func (w *modelWorld) serve(t *rapid.T, p *modelProcess, page *modelPage, proven coherence.Nanos) {
	if p.provenBy != w.primary {
		return // it serves what is right by a copy
	}
	for _, c := range w.primary.log {
		if c.flushed <= proven && page.shows(c) && !page.seen[c] {
			t.Fatalf("%s serves a page (asof %d, read by %s) without the commit %d–%d, flushed at %d and proven at %d", p.name, page.handle.Asof(), page.from, c.start, c.end, c.flushed, proven)
		}
	}
	for _, c := range w.primary.undone {
		if c.undone <= proven && page.shows(c) && page.seen[c] && (c.promoted || page.handle.Asof() >= c.end) {
			t.Fatalf("%s serves a page (asof %d, read by %s) with the commit %d–%d, undone at %d and proven at %d", p.name, page.handle.Asof(), page.from, c.start, c.end, c.undone, proven)
		}
	}
}

// returned checks that page has every commit that had returned at an instant
// (G3, G4).
func (w *modelWorld) returned(t *rapid.T, p *modelProcess, page *modelPage, at coherence.Nanos, who string) {
	if p.provenBy != w.primary {
		return
	}
	for _, c := range w.primary.log {
		if c.shown != 0 && c.shown <= at && page.shows(c) && !page.seen[c] {
			t.Fatalf("%s: %s gets a page (asof %d) without the commit %d–%d, which had returned", p.name, who, page.handle.Asof(), c.start, c.end)
		}
	}
}

// check is what must hold after every step.
func (w *modelWorld) check(t *rapid.T) {
	m := w.primary
	for _, p := range w.processes {
		g := p.guard
		if g.Watermark() > g.Applied() {
			t.Fatalf("%s: W %d above the applied position %d", p.name, g.Watermark(), g.Applied())
		}
		if p.behind() || g.Epoch() == 0 || w.strayed[g.Epoch()] {
			continue
		}
		proven := p.proof()
		for _, c := range m.log {
			if proven != 0 && c.end <= g.Watermark() && c.shown == 0 {
				t.Fatalf("%s: W %d covers the hidden commit %d–%d", p.name, g.Watermark(), c.start, c.end)
			}
		}
		for _, page := range p.pages {
			if !page.stored || !page.handle.Live() {
				continue
			}
			if page.handle.Epoch() != g.Epoch() {
				t.Fatalf("%s: a page of another epoch is live", p.name)
			}
			if proven != 0 {
				w.serve(t, p, page, proven)
			}
			for _, c := range m.log {
				if c.end <= g.Applied() && page.shows(c) && !page.seen[c] {
					t.Fatalf("%s: a page with asof %d, read by %s, is live without the applied commit %d–%d", p.name, page.handle.Asof(), page.from, c.start, c.end)
				}
			}
		}
	}
}

// mend ends all faults and lets everybody work. All must agree in the end.
func (w *modelWorld) mend(t *rapid.T) {
	w.redis.down = false
	w.forgetCopy()
	for _, p := range w.processes {
		p.paused, p.primaryCut, p.redisCut = false, false, false
	}
	for _, c := range w.primary.hidden() {
		c.shown = w.now()
	}
	const rounds = 60
	for round := range rounds {
		if round%10 == 9 {
			time.Sleep(heartbeat) // a stream that was cut has no keyframe until then
		}
		for _, p := range w.processes {
			for n := 0; n < 100 && p.leading && (p.guard.Applied() < w.primary.end || len(p.wire.queue) > 0); n++ {
				w.try(t, p.deliver)
				w.check(t)
			}
			for _, s := range []func(*rapid.T){p.connect, p.decide, p.lead, p.deliver, p.snapshot, p.settle, p.write, p.acknowledge, p.look, p.lookAnew, p.tell, p.read, p.read, p.ask, p.answer} {
				w.try(t, s)
				w.check(t)
			}
		}
		time.Sleep(10 * time.Millisecond)
		if w.agree() {
			return
		}
	}
	for _, p := range w.processes {
		s := p.l.Status()
		t.Errorf("%s: epoch %s, applied %d of %d, W %d, pending %d, proven %d at %d, %s, %+v", p.name, s.Epoch, p.guard.Applied(), w.primary.end, p.guard.Watermark(), s.Pending, p.guard.Proven(), w.now(), s.Role, s.Relay)
	}
	t.Fatal("they don't agree")
}

// agree tells whether all are in one epoch, have everything, and are proven
// fresh.
func (w *modelWorld) agree() bool {
	for _, p := range w.processes {
		if p.guard.Epoch() != w.processes[0].guard.Epoch() || p.guard.Watermark() < w.primary.end || w.now()-p.guard.Proven() > coherence.Nanos(time.Second) {
			return false
		}
	}
	return true
}

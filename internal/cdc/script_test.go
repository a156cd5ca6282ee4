package cdc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/datadriven"

	"walpurge/internal/cdc/catalogue"
	"walpurge/internal/coherence"
	"walpurge/internal/relay"
	"walpurge/internal/relay/relaytest"
)

// TestScripts runs the text scripts under testdata/scripts in virtual time:
// real listeners, each with the guard of a process, on a server and a Redis of
// the model. What comes of a command within 10ms is listed with the time since it was
// given. The table has one row for each city, and a page shows its price.
//
//	start A B                    starts processes, 10ms apart, and lets a second pass
//	kill A | stop A              kill -9, or an orderly end
//	commit Lagos=11 [held]       held: flushed and sent, and not visible
//	release                      what is held becomes visible
//	walsender stop | half | go   commits are flushed and not sent, or not to their end
//	keepalive 0/1010             from the walsender, whatever it has sent
//	flush 0/1010                 the log ends there
//	get A Lagos [token=0/1010]   a request; strict A Lagos on a strict route
//	open A x Lagos | read x | finish x | join x     a fill step by step
//	cut A postgres|redis|both    nothing arrives any more; heal A ends it
//	redis kill|start|save|restore|empty|trim
//	postgres kill|start          immediate
//	postgres hangup               the server gives up who streams
//	postgres promote | back      one commit less; back: on the same timeline
//	postgres copy | twin         another server starts from a copy of it; twin: and somebody reads the slot there
//	lead A older | back          A's connections lead to that copy, or back
//	slot drop | again | lost
//	latency 20ms                 of every answer of the server and of Redis
//	wait 300ms
//	state                        where each process stands; why A: why its epoch began
//
// With quiet at its end a command lists nothing: what comes of it has no fixed order.
//
// The race detector has the runtime choose at random who goes first among
// those who can go on at the same instant, and with that what comes of it. So
// with it only races are looked for; make test runs the scripts without it,
// too.
func TestScripts(t *testing.T) {
	if !raceEnabled { // nor may two go on at the same time
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	}
	datadriven.Walk(t, "testdata/scripts", func(t *testing.T, path string) {
		synctest.Test(t, func(t *testing.T) {
			s := newScript()
			defer s.end()
			datadriven.RunTest(t, path, s.run)
		})
	})
}

const (
	scriptMaxLag = 500 * time.Millisecond

	// scriptPause is no whole number of milliseconds, so that commands and processes don't
	// do at the same instant what then has no order.
	scriptPause = 10*time.Millisecond + 17*time.Microsecond
)

type script struct {
	pg        *wirePrimary
	older     *wirePrimary // a copy of pg; nil: there is none
	redis     *scriptRedis
	processes []*scriptProcess
	fills     map[string]*scriptPage
	epochs    []coherence.Epoch
	stop      chan struct{}
	began     time.Time

	mu     sync.Mutex
	since  time.Time
	events []scriptEvent
}

// scriptEvent is something that came of a command.
type scriptEvent struct {
	after time.Duration
	text  string
}

// scriptRedis is Redis with the relay and the responses of the Redis tier.
type scriptRedis struct {
	*relaytest.Stream
	saved   *relaytest.Stream
	down    bool
	latency time.Duration
}

// scriptProcess is a process with its memory tier.
type scriptProcess struct {
	s        *script
	name     string
	guard    *coherence.Guard
	listener *Listener
	cancel   context.CancelFunc
	ended    chan struct{}
	dead     bool
	astray   bool          // led to the older copy
	cutPG    chan struct{} // nil: it isn't; closed when it is mended
	cutRedis chan struct{}
	pages    map[string]*scriptPage
	seen     string
	reason   string // of the epoch that it is in
}

type scriptPage struct {
	p      *scriptProcess
	city   string
	handle coherence.Handle
	price  int
}

func (*scriptPage) Evicted(coherence.Cause) {}

func newScript() *script {
	s := &script{pg: newWirePrimary(), redis: &scriptRedis{Stream: relaytest.New()}, fills: map[string]*scriptPage{}, stop: make(chan struct{}), began: time.Now()}
	go s.watch()
	return s
}

// end ends everything that runs.
func (s *script) end() {
	close(s.stop)
	for _, p := range s.processes {
		p.heal()
		p.cancel()
	}
	for _, pg := range s.servers() {
		pg.with(func() { pg.down = true; pg.sever("") })
	}
	for _, p := range s.processes {
		<-p.ended
	}
}

func (s *script) now() coherence.Nanos { return coherence.Nanos(time.Since(s.began)) + 1 }

// say lists an event.
func (s *script) say(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, scriptEvent{time.Since(s.since).Truncate(time.Millisecond), fmt.Sprintf(format, args...)})
}

// watch lists what changes, looking in the middle of every millisecond: what
// waits, waits for whole ones.
func (s *script) watch() {
	time.Sleep(time.Millisecond / 2)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-tick.C:
		}
		s.mu.Lock()
		all := slices.DeleteFunc(slices.Clone(s.processes), func(p *scriptProcess) bool { return p.dead })
		s.mu.Unlock()
		for _, p := range all {
			if now := p.look(); now != p.seen {
				p.seen = now
				s.say("%s %s", p.name, now)
			}
		}
	}
}

// look is what is watched of a process.
func (p *scriptProcess) look() string {
	hits := "no hits"
	if p.proven() {
		hits = "hits"
	}
	return fmt.Sprintf("%s, %s, %s", p.listener.Status().Role, p.s.epoch(p.guard.Epoch()), hits)
}

func (p *scriptProcess) proven() bool {
	proven := p.guard.Proven()
	return proven != 0 && p.s.now()-proven <= coherence.Nanos(scriptMaxLag)
}

// epoch gives epochs names in the order of their first appearance.
func (s *script) epoch(e coherence.Epoch) string {
	if e == 0 {
		return "no epoch"
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.Index(s.epochs, e)
	if i < 0 {
		i = len(s.epochs)
		s.epochs = append(s.epochs, e)
	}
	return fmt.Sprint("epoch ", i+1)
}

// scriptNotes are the notes of a process.
type scriptNotes struct{ p *scriptProcess }

func (n scriptNotes) Applied(*coherence.Transaction, *coherence.Purge, time.Duration) {}
func (n scriptNotes) Settled(time.Duration)                                           {}
func (n scriptNotes) Epoch(reason string, _ int) {
	n.p.s.mu.Lock()
	n.p.reason = reason
	n.p.s.mu.Unlock()
	n.p.s.say("%s begins %s: %s", n.p.name, n.p.s.epoch(n.p.guard.Epoch()), reason)
}

// start starts a process.
func (s *script) start(t *testing.T, name string) {
	p := &scriptProcess{s: s, name: name, pages: map[string]*scriptPage{}, ended: make(chan struct{})}
	cfg := Config{
		Scope: catalogue.Scope{
			URL: "postgres://u@127.0.0.1/d?sslmode=disable", Slot: "s", Publication: "p",
			Watches: []catalogue.Watch{{Table: "public.listings", Columns: []string{"city", "id", "price"}, Conditions: []string{"city"}}},
			Dial:    p.dial,
		},
		BulkRows: 100, MaxLag: scriptMaxLag, Now: s.now,
		Chance: func(time.Duration) time.Duration { return 0 },
		Relay:  &relay.Config{},
	}
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	catalogue, err := catalogue.Inspect(ctx, cfg.Scope)
	if err != nil {
		t.Fatal(err)
	}
	if p.guard, err = coherence.New(coherence.Config{Tables: catalogue.Tables, FenceBits: 10}); err != nil {
		t.Fatal(err)
	}
	p.guard.Use(cityTemplate(p.guard))
	p.listener = NewListener(cfg, catalogue, p.guard, scriptNotes{p})
	p.listener.follower.stream.Server = &scriptLink{p}
	s.mu.Lock()
	s.processes = slices.DeleteFunc(s.processes, func(o *scriptProcess) bool { return o.name == name })
	s.processes = append(s.processes, p)
	s.mu.Unlock()
	go func() {
		defer close(p.ended)
		if err := p.listener.Run(ctx); err != nil {
			s.say("%s ends: %v", name, err)
		}
	}()
}

// dial leads to the server, or astray.
func (p *scriptProcess) dial(ctx context.Context, network, address string) (net.Conn, error) {
	p.s.mu.Lock()
	pg := p.s.pg
	if p.astray {
		pg = p.s.older
	}
	p.s.mu.Unlock()
	cut := func() <-chan struct{} { p.s.mu.Lock(); defer p.s.mu.Unlock(); return p.cutPG }
	return pg.dial(p.name, cut)(ctx, network, address)
}

// servers are all that there are.
func (s *script) servers() []*wirePrimary {
	if s.older == nil {
		return []*wirePrimary{s.pg}
	}
	return []*wirePrimary{s.pg, s.older}
}

func (p *scriptProcess) heal() {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	for _, c := range []*chan struct{}{&p.cutPG, &p.cutRedis} {
		if *c != nil {
			close(*c)
			*c = nil
		}
	}
}

// scriptLink is a process's connection to Redis.
type scriptLink struct{ p *scriptProcess }

var errScriptRedis = errors.New("connection refused")

// travel is the way there, and the way back.
func (l *scriptLink) travel(ctx context.Context) error {
	r := l.p.s.redis
	l.p.s.mu.Lock()
	way := r.latency / 2
	l.p.s.mu.Unlock()
	time.Sleep(way)
	l.p.s.mu.Lock()
	cut, gone := l.p.cutRedis, r.down || l.p.dead
	l.p.s.mu.Unlock()
	if gone {
		return errScriptRedis
	}
	if cut != nil {
		select {
		case <-cut:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (l *scriptLink) Append(ctx context.Context, a *relay.Addition) (bool, error) {
	if err := l.travel(ctx); err != nil {
		return false, err
	}
	found, err := l.p.s.redis.Append(ctx, a)
	return found, errors.Join(err, l.travel(ctx))
}

func (l *scriptLink) After(ctx context.Context, seq uint64, most int, block time.Duration) ([]relay.Message, error) {
	if err := l.travel(ctx); err != nil {
		return nil, err
	}
	found, err := l.p.s.redis.After(ctx, seq, most, block)
	return found, errors.Join(err, l.travel(ctx))
}

func (l *scriptLink) UpTo(ctx context.Context, seq uint64) (relay.Message, error) {
	if err := l.travel(ctx); err != nil {
		return relay.Message{}, err
	}
	found, err := l.p.s.redis.UpTo(ctx, seq)
	return found, errors.Join(err, l.travel(ctx))
}

func (l *scriptLink) Highest(ctx context.Context) (uint64, error) {
	if err := l.travel(ctx); err != nil {
		return 0, err
	}
	found, err := l.p.s.redis.Highest(ctx)
	return found, errors.Join(err, l.travel(ctx))
}

// open begins a fill.
func (p *scriptProcess) open(city string) *scriptPage {
	page := &scriptPage{p: p, city: city}
	deps := p.guard.Bind(cityTemplate(p.guard), []coherence.Operand{{Present: true, Values: []string{city}}}, nil)
	p.guard.Open(&page.handle, page, deps)
	return page
}

// fetch is the origin reading what is visible.
func (page *scriptPage) fetch() {
	page.p.s.pg.with(func() { page.price = page.p.s.pg.visible[page.city] })
}

// finish stores a fill, unless something has touched it.
func (page *scriptPage) finish() string {
	if !page.p.guard.Admit(&page.handle, page) {
		return fmt.Sprintf("%d, not kept", page.price)
	}
	page.p.pages[page.city] = page
	return fmt.Sprintf("%d, kept", page.price)
}

// get answers a request that needs everything up to token.
func (p *scriptProcess) get(city string, token coherence.LSN) string {
	if token > p.guard.Applied() {
		return p.strict(city)
	}
	if !p.proven() {
		return p.bypass(city)
	}
	return p.cached(city)
}

// bypass asks the origin and keeps nothing.
func (p *scriptProcess) bypass(city string) string {
	page := &scriptPage{p: p, city: city}
	page.fetch()
	return fmt.Sprintf("%d, from the origin", page.price)
}

func (p *scriptProcess) cached(city string) string {
	if page := p.pages[city]; page != nil && page.handle.Live() {
		return fmt.Sprintf("%d, a hit", page.price)
	}
	page := p.open(city)
	page.fetch()
	return page.finish()
}

// strict answers once freshness is proven as of now, or asks the origin.
func (p *scriptProcess) strict(city string) string {
	const patience = 100 * time.Millisecond
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	arrived := p.s.now()
	ready, forget := p.guard.WaitProven(arrived)
	defer forget()
	if _, err := p.listener.FlushPosition(ctx); err != nil {
		return p.bypass(city)
	}
	select {
	case <-ready:
	case <-ctx.Done():
	}
	if p.guard.Proven() < arrived {
		return p.bypass(city)
	}
	return p.cached(city)
}

func (s *script) process(t *testing.T, name string) *scriptProcess {
	for _, p := range s.processes {
		if p.name == name {
			return p
		}
	}
	t.Fatalf("no process %s", name)
	return nil
}

// run runs a command.
func (s *script) run(t *testing.T, d *datadriven.TestData) string {
	s.mu.Lock()
	s.since = time.Now()
	s.events = nil
	s.mu.Unlock()
	var words []string
	for _, a := range d.CmdArgs {
		words = append(words, a.String())
	}
	if out := s.do(t, d.Cmd, words); out != "" {
		s.say("%s", out)
	}
	time.Sleep(scriptPause)
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if slices.Contains(words, "quiet") {
		return ""
	}
	if raceEnabled {
		return d.Expected
	}
	// What happens in one millisecond has no order.
	slices.SortFunc(s.events, func(a, b scriptEvent) int {
		return cmp.Or(cmp.Compare(a.after, b.after), strings.Compare(a.text, b.text))
	})
	var out strings.Builder
	for _, e := range s.events {
		fmt.Fprintf(&out, "%6s  %s\n", e.after, e.text)
	}
	return out.String()
}

func (s *script) do(t *testing.T, command string, words []string) string {
	switch command {
	case "start":
		for _, name := range words {
			s.start(t, name)
			time.Sleep(scriptPause)
		}
		time.Sleep(time.Second)
	case "kill", "stop":
		p := s.process(t, words[0])
		if command == "kill" {
			s.mu.Lock()
			p.dead = true
			s.mu.Unlock()
			s.pg.with(func() { s.pg.sever(p.name) })
		}
		p.cancel()
		<-p.ended
		s.mu.Lock()
		p.dead = true
		s.mu.Unlock()
	case "commit":
		city, text, _ := strings.Cut(words[0], "=")
		price, _ := strconv.Atoi(text)
		c := s.pg.commit(city, price, slices.Contains(words, "held"))
		return fmt.Sprintf("commit %s–%s", c.start, c.end)
	case "release":
		s.pg.release()
	case "walsender":
		s.pg.with(func() { s.pg.mute, s.pg.half = words[0] == "stop", words[0] == "half" })
	case "keepalive":
		at, err := coherence.ParseLSN(words[0])
		if err != nil {
			t.Fatal(err)
		}
		s.pg.mu.Lock()
		c := s.pg.reader
		s.pg.mu.Unlock()
		c.keepalive(at)
	case "flush":
		at, err := coherence.ParseLSN(words[0])
		if err != nil {
			t.Fatal(err)
		}
		s.pg.with(func() { s.pg.flushed = at })
	case "get", "strict":
		p := s.process(t, words[0])
		if command == "strict" {
			return p.strict(words[1])
		}
		var token coherence.LSN
		if len(words) > 2 {
			var err error
			if token, err = coherence.ParseLSN(strings.TrimPrefix(words[2], "token=")); err != nil {
				t.Fatal(err)
			}
		}
		return p.get(words[1], token)
	case "open":
		page := s.process(t, words[0]).open(words[2])
		s.fills[words[1]] = page
		return "asof " + page.handle.Asof().String()
	case "read":
		page := s.fills[words[0]]
		page.fetch()
		return fmt.Sprintf("the origin reads %d", page.price)
	case "finish":
		return s.fills[words[0]].finish()
	case "join":
		page := s.fills[words[0]]
		return fmt.Sprintf("joinable %t, asof %s", page.p.guard.Joinable(&page.handle), page.handle.Asof())
	case "cut":
		p := s.process(t, words[0])
		s.mu.Lock()
		if words[1] != "redis" {
			p.cutPG = make(chan struct{})
		}
		if words[1] != "postgres" {
			p.cutRedis = make(chan struct{})
		}
		s.mu.Unlock()
	case "heal":
		s.process(t, words[0]).heal()
	case "lead":
		p := s.process(t, words[0])
		s.mu.Lock()
		p.astray = words[1] == "older"
		s.mu.Unlock()
		for _, pg := range s.servers() {
			pg.with(func() { pg.sever(p.name) })
		}
	case "redis":
		s.changeRedis(words[0])
	case "postgres":
		s.changeServer(words[0])
	case "slot":
		s.changeSlot(words[0])
	case "latency":
		l, _ := time.ParseDuration(words[0])
		s.pg.with(func() { s.pg.latency = l })
		s.mu.Lock()
		s.redis.latency = l
		s.mu.Unlock()
	case "wait":
		l, err := time.ParseDuration(words[0])
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(l)
	case "why":
		p := s.process(t, words[0])
		s.mu.Lock()
		defer s.mu.Unlock()
		return "the epoch began for: " + p.reason
	case "state":
		for _, p := range s.processes {
			if !p.dead {
				s.say("%s %s, applied %s, W %s", p.name, p.look(), p.guard.Applied(), p.guard.Watermark())
			}
		}
		return "the slot stands at " + s.pg.answer(catalogue.SlotQuery, nil).at(9)
	default:
		t.Fatalf("%s: unknown command", command)
	}
	return ""
}

// at is a column of the first row.
func (t *wireTable) at(i int) string {
	if len(t.data) == 0 {
		return "nothing"
	}
	return fmt.Sprint(t.data[0][i])
}

func (s *script) changeRedis(what string) {
	r := s.redis
	switch what {
	case "kill", "start":
		s.mu.Lock()
		r.down = what == "kill"
		s.mu.Unlock()
	case "save":
		r.saved = r.Copy()
	case "restore":
		r.Restore(r.saved)
	case "empty":
		r.Empty()
	case "trim":
		r.Trim(r.Last())
	}
}

func (s *script) changeServer(what string) {
	if what == "copy" || what == "twin" {
		s.older = s.pg.copy()
		if what == "twin" {
			s.older.reader = &wireConn{}
		}
		return
	}
	s.pg.with(func() {
		m := s.pg
		switch what {
		case "kill":
			m.down = true
			m.sever("")
		case "start":
			m.down = false
			m.server.Started++
			for i := range m.log {
				m.log[i].held = false
				m.visible[m.log[i].city] = m.log[i].price
			}
		case "back": // and the stream's connection hangs
			for c := range m.conns {
				if c != m.reader {
					_ = c.conn.Close()
				}
			}
			last := m.log[len(m.log)-1]
			m.log = m.log[:len(m.log)-1]
			m.visible[last.city] = last.old
			m.flushed, m.reader = last.start, nil
			m.server.Started++
			m.slot.Confirmed = min(m.slot.Confirmed, m.flushed)
		case "hangup":
			if m.reader != nil {
				_ = m.reader.conn.Close()
				m.reader = nil
			}
		case "promote":
			m.sever("")
			last := m.log[len(m.log)-1]
			m.log = m.log[:len(m.log)-1]
			m.visible[last.city] = last.old
			m.flushed, m.slot = last.start, nil
			m.server.Timeline++
			m.server.Started++
		}
	})
}

func (s *script) changeSlot(what string) {
	s.pg.with(func() {
		m := s.pg
		if m.reader != nil {
			_ = m.reader.conn.Close()
			m.reader = nil
		}
		switch what {
		case "drop":
			m.slot = nil
		case "again":
			m.slot = &catalogue.Slot{Confirmed: m.flushed, WALStatus: "reserved"}
		case "lost":
			m.slot.WALStatus = "lost"
		}
	})
}

func (l *scriptLink) Waiting(ctx context.Context) (int, error) {
	if err := l.travel(ctx); err != nil {
		return 0, err
	}
	return l.p.s.redis.Waiting(ctx)
}

func (l *scriptLink) Want(ctx context.Context, life time.Duration) error {
	if err := l.travel(ctx); err != nil {
		return err
	}
	return l.p.s.redis.Want(ctx, life)
}

func (l *scriptLink) Wanted(ctx context.Context) (bool, error) {
	if err := l.travel(ctx); err != nil {
		return false, err
	}
	return l.p.s.redis.Wanted(ctx)
}

func (l *scriptLink) Ask(ctx context.Context, id uint64, life time.Duration) error {
	if err := l.travel(ctx); err != nil {
		return err
	}
	return l.p.s.redis.Ask(ctx, id, life)
}

func (l *scriptLink) Asked(ctx context.Context, most int) ([]uint64, error) {
	if err := l.travel(ctx); err != nil {
		return nil, err
	}
	return l.p.s.redis.Asked(ctx, most)
}

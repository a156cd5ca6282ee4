package cdc

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/jackc/pgx/v5/pgtype"

	"walpurge/internal/cdc/catalogue"
	"walpurge/internal/cdc/pgoutput/pgoutputtest"
	"walpurge/internal/cdc/primary"
	"walpurge/internal/coherence"
	"walpurge/internal/wire"
)

// wirePrimary is a PostgreSQL of the model that speaks its protocol: one
// table, listings(id, city, price) with a row for each city, a log, a slot. Clients reach
// it through pipes in memory, so it can be used in virtual time.
type wirePrimary struct {
	mu      sync.Mutex
	changed chan struct{} // closed and made anew with every change
	server  primary.Server
	log     []wireCommit
	flushed coherence.LSN
	visible map[string]int // price by city
	xid     uint64
	slot    *catalogue.Slot
	reader  *wireConn // who streams from the slot
	mute    bool      // the walsender sends no commit
	half    bool      // it stops before the end of a commit
	print   string    // of the catalogue
	down    bool
	conns   map[*wireConn]bool
	latency time.Duration
}

// wireCommit is a commit whose record is flushed.
type wireCommit struct {
	xid        uint64
	start, end coherence.LSN
	city       string
	price, old int
	held       bool // not visible
}

// wireConn is one connection.
type wireConn struct {
	pg      *wirePrimary
	of      string // the process
	conn    net.Conn
	backend *pgproto3.Backend
	out     chan []byte       // to be written: a pipe has no buffer of its own
	names   map[string]string // prepared statements
	stop    chan struct{}     // closed when it has ended
	sent    coherence.LSN
}

func newWirePrimary() *wirePrimary {
	return &wirePrimary{
		changed: make(chan struct{}), server: primary.Server{System: "7", Timeline: 1}, flushed: 0x1000, visible: map[string]int{},
		xid: 700, print: "a", conns: map[*wireConn]bool{},
	}
}

// copy is another server with what m has on its disk, started as it is.
func (m *wirePrimary) copy() *wirePrimary {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := newWirePrimary()
	c.server, c.flushed, c.xid, c.print, c.latency = m.server, m.flushed, m.xid, m.print, m.latency
	c.server.Started++
	c.log, c.visible = slices.Clone(m.log), maps.Clone(m.visible)
	for i := range c.log {
		c.log[i].held = false
		c.visible[c.log[i].city] = c.log[i].price
	}
	if m.slot != nil {
		there := *m.slot
		c.slot = &there
	}
	return c
}

// poke tells the streams that something has changed. REQUIRES: m.mu held.
func (m *wirePrimary) poke() {
	close(m.changed)
	m.changed = make(chan struct{})
}

// commit flushes a commit of a price; held, nobody sees it yet.
func (m *wirePrimary) commit(city string, price int, held bool) wireCommit {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := wireCommit{xid: m.xid, start: m.flushed, end: m.flushed + 0x10, city: city, price: price, held: held}
	for _, o := range m.log {
		if o.city == city {
			c.old = o.price
		}
	}
	m.xid++
	m.flushed = c.end
	m.log = append(m.log, c)
	if !held {
		m.visible[city] = price
	}
	m.poke()
	return c
}

// release makes what is held visible.
func (m *wirePrimary) release() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range m.log {
		if m.log[i].held {
			m.log[i].held = false
			m.visible[m.log[i].city] = m.log[i].price
		}
	}
}

// with changes the server, and tells the streams.
func (m *wirePrimary) with(change func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change()
	m.poke()
}

// sever breaks connections: those of a process, or all. REQUIRES: m.mu held.
func (m *wirePrimary) sever(of string) {
	for c := range m.conns {
		if of == "" || c.of == of {
			_ = c.conn.Close()
			if m.reader == c {
				m.reader = nil
			}
		}
	}
}

// dial is what a process reaches the server with. frozen tells whether its
// network is cut.
func (m *wirePrimary) dial(of string, cut func() <-chan struct{}) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		if mended := cut(); mended != nil {
			select {
			case <-mended:
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.down {
			return nil, errors.New("connection refused")
		}
		ours, theirs := net.Pipe()
		c := &wireConn{pg: m, of: of, conn: ours, backend: pgproto3.NewBackend(ours, ours), stop: make(chan struct{}), names: map[string]string{}, out: make(chan []byte, 1000)}
		m.conns[c] = true
		go c.serve(cut)
		go c.forward()
		return theirs, nil
	}
}

// serve answers until the connection ends.
func (c *wireConn) serve(cut func() <-chan struct{}) {
	defer func() {
		_ = c.conn.Close()
		close(c.stop)
		c.pg.with(func() {
			delete(c.pg.conns, c)
			if c.pg.reader == c {
				c.pg.reader = nil
			}
		})
	}()
	if _, err := c.backend.ReceiveStartupMessage(); err != nil {
		return
	}
	c.write(&pgproto3.AuthenticationOk{}, &pgproto3.ParameterStatus{Name: "client_encoding", Value: "UTF8"},
		&pgproto3.ParameterStatus{Name: "standard_conforming_strings", Value: "on"},
		&pgproto3.BackendKeyData{ProcessID: 1, SecretKey: []byte{0, 0, 0, 1}}, &pgproto3.ReadyForQuery{TxStatus: 'I'})
	var query string
	var formats []int16
	var args [][]byte
	for {
		msg, err := c.backend.Receive()
		if err != nil {
			return
		}
		if mended := cut(); mended != nil {
			select {
			case <-mended:
			case <-c.stop:
			}
		}
		switch m := msg.(type) {
		case *pgproto3.Query:
			c.simple(m.String)
		case *pgproto3.Parse:
			query = m.Query
			c.names[m.Name] = query
			c.write(&pgproto3.ParseComplete{})
		case *pgproto3.Describe:
			if m.ObjectType == 'S' {
				query = c.names[m.Name]
				c.write(&pgproto3.ParameterDescription{ParameterOIDs: parameters(query)}, c.pg.answer(query, nil).describe(nil))
			} else {
				c.write(c.pg.answer(query, args).describe(formats))
			}
		case *pgproto3.Bind:
			query = c.names[m.PreparedStatement]
			formats, args = slices.Clone(m.ResultFormatCodes), slices.Clone(m.Parameters)
			c.write(&pgproto3.BindComplete{})
		case *pgproto3.Execute:
			c.write(c.pg.answer(query, args).rows(formats)...)
		case *pgproto3.Close:
			c.write(&pgproto3.CloseComplete{})
		case *pgproto3.Sync:
			c.pause()
			c.write(&pgproto3.ReadyForQuery{TxStatus: 'I'})
		case *pgproto3.CopyData:
			c.status(m.Data)
		case *pgproto3.Terminate:
			return
		}
	}
}

func (c *wireConn) pause() {
	if c.pg.latency > 0 {
		time.Sleep(c.pg.latency)
	}
}

// write sends messages.
func (c *wireConn) write(messages ...pgproto3.BackendMessage) {
	var b []byte
	for _, m := range messages {
		b, _ = m.Encode(b)
	}
	select {
	case c.out <- b:
	case <-c.stop:
	}
}

// forward writes what is to be written.
func (c *wireConn) forward() {
	for {
		select {
		case b := <-c.out:
			if _, err := c.conn.Write(b); err != nil {
				return
			}
		case <-c.stop:
			return
		}
	}
}

// wireTable is an answer.
type wireTable struct {
	oids []uint32
	data [][]any
}

var wireTypes = pgtype.NewMap()

func (t *wireTable) format(formats []int16, i int) int16 {
	switch len(formats) {
	case 0:
		return 0
	case 1:
		return formats[0]
	}
	return formats[i]
}

func (t *wireTable) describe(formats []int16) pgproto3.BackendMessage {
	if len(t.oids) == 0 {
		return &pgproto3.NoData{}
	}
	d := &pgproto3.RowDescription{}
	for i, oid := range t.oids {
		d.Fields = append(d.Fields, pgproto3.FieldDescription{Name: []byte(fmt.Sprint("c", i)), DataTypeOID: oid, DataTypeSize: -1, TypeModifier: -1, Format: t.format(formats, i)})
	}
	return d
}

func (t *wireTable) rows(formats []int16) []pgproto3.BackendMessage {
	var out []pgproto3.BackendMessage
	for _, values := range t.data {
		row := &pgproto3.DataRow{}
		for i, v := range values {
			b, err := wireTypes.Encode(t.oids[i], t.format(formats, i), v, []byte{})
			if err != nil {
				panic(err)
			}
			row.Values = append(row.Values, b)
		}
		out = append(out, row)
	}
	return append(out, &pgproto3.CommandComplete{CommandTag: []byte(fmt.Sprint("SELECT ", len(t.data)))})
}

// parameters are the types of a statement's parameters.
func parameters(query string) []uint32 {
	n := 0
	for i := 1; strings.Contains(query, fmt.Sprint("$", i)); i++ {
		n = i
	}
	oids := slices.Repeat([]uint32{pgtype.TextOID}, n)
	switch {
	case strings.Contains(query, "$2::text[]"):
		oids[1], oids[2] = pgtype.TextArrayOID, pgtype.TextArrayOID
	case query == catalogue.RightsQuery:
		oids[0] = pgtype.OIDArrayOID
	case strings.Contains(query, "SELECT c.oid, c.relispartition"):
		oids[1] = pgtype.OIDOID
	case strings.Contains(query, "sync_state"):
		oids[0] = pgtype.Int4OID
	case strings.Contains(query, "pg_publication_rel r"), strings.Contains(query, "attrelid = $1"), query == catalogue.MembersQuery:
		oids[0] = pgtype.OIDOID
	}
	return oids
}

// answer answers a query by what it asks for.
func (m *wirePrimary) answer(query string, args [][]byte) *wireTable {
	m.mu.Lock()
	defer m.mu.Unlock()
	text, boolean, number, oid := uint32(pgtype.TextOID), uint32(pgtype.BoolOID), uint32(pgtype.Int4OID), uint32(pgtype.OIDOID)
	texts := uint32(pgtype.TextArrayOID)
	const table = int64(16500)
	one := func(o uint32, v any) *wireTable { return &wireTable{[]uint32{o}, [][]any{{v}}} }
	asks := func(what string) bool { return strings.Contains(query, what) }
	switch {
	case query == primary.FlushQuery:
		return one(text, m.flushed.String())
	case query == primary.SnapshotQuery:
		return one(text, m.snapshot())
	case query == primary.ServerQuery:
		return &wireTable{[]uint32{text, boolean, number, pgtype.Int8OID}, [][]any{{m.server.System, false, m.server.Timeline, m.server.Started}}}
	case query == catalogue.ServerFactsQuery:
		return &wireTable{
			[]uint32{number, text, text, text, text, text, boolean, boolean, boolean, number, number, number, number, number, text, boolean},
			[][]any{{int32(150000), "15.0", "logical", "UTF8", "d", "u", false, true, true, int32(0), int32(10), int32(1000), int32(60000), int32(65536), "", false}},
		}
	case query == catalogue.TableQuery:
		return &wireTable{[]uint32{oid, text, text, text, boolean, boolean, texts, boolean}, [][]any{{uint32(table), "r", "p", "f", false, true, []string{}, false}}}
	case query == catalogue.ColumnsQuery:
		t := &wireTable{oids: []uint32{text, oid, text, text, boolean, texts, boolean, boolean, text}}
		for _, c := range []struct{ name, base string }{{"id", "int4"}, {"city", "text"}, {"price", "int4"}} {
			t.data = append(t.data, []any{c.name, uint32(23), "", c.base, false, []string{}, true, true, ""})
		}
		return t
	case query == catalogue.RightsQuery:
		return &wireTable{[]uint32{oid, text, boolean, boolean}, [][]any{{uint32(table), "public", true, true}}}
	case query == catalogue.MembersQuery:
		return &wireTable{[]uint32{oid, text, text, text, text, text, texts, text}, [][]any{{uint32(table), "public", "listings", "r", "p", "f", []string{"id"}, ""}}}
	case query == catalogue.PositionQuery:
		return one(text, m.flushed.String()+" "+m.snapshot())
	case strings.HasPrefix(query, catalogue.PositionQuery):
		return &wireTable{[]uint32{text, text}, [][]any{{m.flushed.String() + " " + m.snapshot(), m.print}}}
	case asks("$2::text[]"): // a whole look
		return &wireTable{[]uint32{text, text}, [][]any{{m.print, m.print + "\n1 a b c d e"}}}
	case asks("SELECT c.oid, c.relispartition"):
		return &wireTable{[]uint32{oid, boolean}, [][]any{{uint32(table), false}}}
	case asks("FROM pg_publication p WHERE pubname"):
		return &wireTable{[]uint32{oid, boolean, boolean, boolean, boolean, boolean, boolean, boolean, text}, [][]any{{uint32(16600), false, true, true, true, true, true, true, ""}}}
	case asks("FROM pg_publication_rel r"):
		return &wireTable{oids: []uint32{oid, boolean, boolean}}
	case query == catalogue.SlotQuery:
		t := &wireTable{oids: []uint32{text, text, text, text, boolean, boolean, number, text, boolean, text, pgtype.Int8OID, text}}
		if s := m.slot; s != nil {
			t.data = [][]any{{"s", "logical", "pgoutput", "d", false, m.reader != nil, int32(1), s.WALStatus, false, s.Confirmed.String(), int64(m.flushed - s.Confirmed), ""}}
		}
		return t
	case asks("sync_state"):
		return &wireTable{[]uint32{text, text}, [][]any{{"async", ""}}}
	case asks("server_version_num"):
		return one(number, int32(150000))
	case asks("pg_current_xact_id"):
		m.xid++
		return one(text, strconv.FormatUint(m.xid-1, 10))
	case asks("pg_drop_replication_slot"):
		if args != nil {
			m.slot = nil
		}
		return one(text, "")
	case asks("pg_logical_emit_message"):
		return one(text, "")
	case asks("SELECT pg_backend_pid()"):
		return one(number, int32(1))
	case asks("pg_stat_activity"):
		return &wireTable{oids: []uint32{number, text, text, text, text, text, text, text, pgtype.Float8OID}}
	}
	panic("the model's server doesn't know " + query)
}

// snapshot is pg_current_snapshot(). REQUIRES: m.mu held.
func (m *wirePrimary) snapshot() string {
	var open []string
	first := m.xid
	for _, c := range m.log {
		if c.held {
			open = append(open, strconv.FormatUint(c.xid, 10))
			first = min(first, c.xid)
		}
	}
	return fmt.Sprintf("%d:%d:%s", first, m.xid, strings.Join(open, ","))
}

// simple answers a command of the simple protocol.
func (c *wireConn) simple(query string) {
	m := c.pg
	c.pause()
	ready := &pgproto3.ReadyForQuery{TxStatus: 'I'}
	done := func(tag string) { c.write(&pgproto3.CommandComplete{CommandTag: []byte(tag)}, ready) }
	result := func(values ...any) {
		t := &wireTable{slices.Repeat([]uint32{pgtype.TextOID}, len(values)), [][]any{values}}
		c.write(append(append([]pgproto3.BackendMessage{t.describe(nil)}, t.rows(nil)...), ready)...)
	}
	word, _, _ := strings.Cut(query, " ")
	switch {
	case strings.EqualFold(word, "begin"):
		c.write(&pgproto3.CommandComplete{CommandTag: []byte("BEGIN")}, &pgproto3.ReadyForQuery{TxStatus: 'T'})
	case query == "IDENTIFY_SYSTEM":
		m.mu.Lock()
		system, timeline, at := m.server.System, strconv.Itoa(int(m.server.Timeline)), m.flushed.String()
		m.mu.Unlock()
		result(system, timeline, at, "d")
	case query == "SELECT "+primary.StartQuery:
		m.mu.Lock()
		started := strconv.FormatInt(m.server.Started, 10)
		m.mu.Unlock()
		result(started)
	case word == "CREATE_REPLICATION_SLOT":
		var at coherence.LSN
		m.with(func() {
			at = m.flushed
			m.slot = &catalogue.Slot{Confirmed: at, WALStatus: "reserved"}
		})
		result("s", at.String(), "", "pgoutput")
	case word == "START_REPLICATION":
		c.start(query, ready)
	default: // ROLLBACK, COMMIT, SET
		done(strings.ToUpper(word))
	}
}

// start starts to stream from the position that query asks for.
func (c *wireConn) start(query string, ready pgproto3.BackendMessage) {
	m := c.pg
	from, err := coherence.ParseLSN(strings.Fields(query)[4])
	refuse := ""
	m.with(func() {
		switch {
		case err != nil || m.slot == nil:
			refuse = "42704"
		case m.reader != nil:
			refuse = "55006"
		case m.slot.Lost():
			refuse = "55000"
		default:
			m.reader, c.sent = c, max(from, m.slot.Confirmed)
		}
	})
	if refuse != "" {
		c.write(&pgproto3.ErrorResponse{Severity: "ERROR", Code: refuse, Message: "cannot start"}, ready)
		return
	}
	c.write(&pgproto3.CopyBothResponse{})
	go c.feed()
}

// feed is the walsender.
func (c *wireConn) feed() {
	m := c.pg
	described := false
	for {
		m.mu.Lock()
		changed := m.changed
		var next *wireCommit
		if !m.mute {
			if i := slices.IndexFunc(m.log, func(o wireCommit) bool { return o.end > c.sent }); i >= 0 {
				next = &m.log[i]
			}
		}
		m.mu.Unlock()
		if next == nil {
			select {
			case <-changed:
			case <-c.stop:
				return
			}
			continue
		}
		c.pause()
		c.data(pgoutputtest.Begin(uint64(next.start), uint32(next.xid)))
		if !described {
			described = true
			c.data(pgoutputtest.Relation(16500, "public.listings", 'f', "*id", "*city", "*price"))
		}
		price := func(p int) []string { return []string{"1", next.city, strconv.Itoa(p)} }
		if next.old == 0 {
			c.data(pgoutputtest.Change('I', 16500, pgoutputtest.Row([]byte{'N'}, price(next.price)...)))
		} else {
			c.data(pgoutputtest.Change('U', 16500, pgoutputtest.Row(append(pgoutputtest.Row([]byte{'O'}, price(next.old)...), 'N'), price(next.price)...)))
		}
		for half := true; half; {
			m.mu.Lock()
			half, changed = m.half, m.changed
			m.mu.Unlock()
			if half {
				select {
				case <-changed:
				case <-c.stop:
					return
				}
			}
		}
		c.data(pgoutputtest.Commit(uint64(next.start), uint64(next.end)))
		m.mu.Lock()
		c.sent = next.end
		m.mu.Unlock()
	}
}

// data sends a message of the stream.
func (c *wireConn) data(msg []byte) {
	c.write(&pgproto3.CopyData{Data: append(append([]byte{'w'}, make([]byte, primary.XLogHeader-1)...), msg...)})
}

// status takes a status of the client, and answers if it wants an answer.
func (c *wireConn) status(data []byte) {
	m := c.pg
	if len(data) < 34 || data[0] != 'r' {
		return
	}
	cur := wire.Cursor{Rest: data[1+8:]}
	flushed := coherence.LSN(cur.Uint64())
	m.mu.Lock()
	if m.slot != nil && m.reader == c {
		m.slot.Confirmed = max(m.slot.Confirmed, flushed)
	}
	at := c.sent
	if !m.mute && !slices.ContainsFunc(m.log, func(o wireCommit) bool { return o.end > c.sent }) {
		at = m.flushed
	}
	m.mu.Unlock()
	if data[33] != 0 {
		c.keepalive(at)
	}
}

func (c *wireConn) keepalive(at coherence.LSN) {
	c.write(&pgproto3.CopyData{Data: append(pgoutputtest.Big64([]byte{'k'}, uint64(at), 0), 0)})
}

package cdc

import (
	"encoding/binary"
	"fmt"
	"strings"

	"walpurge/internal/coherence"
)

// announcement is what a leader tells of itself: whose history it relays, and
// which tables and columns it watches. Its followers may have been configured
// otherwise, for instance while a new version is rolled out.
type announcement struct {
	server      server
	origin      string // slot and database: two of them must not share a stream
	fingerprint string // of the catalogue
	tables      []coherence.Table
}

func (a *announcement) append(b []byte) []byte {
	b = appendString(b, a.server.system)
	b = binary.AppendUvarint(b, uint64(uint32(a.server.timeline)))
	b = binary.AppendVarint(b, a.server.started)
	b = appendString(b, a.origin)
	b = appendString(b, a.fingerprint)
	b = binary.AppendUvarint(b, uint64(len(a.tables)))
	for i := range a.tables {
		t := &a.tables[i]
		b = appendString(b, t.Name)
		b = binary.AppendUvarint(b, uint64(len(t.Columns)))
		for _, c := range t.Columns {
			b = append(appendString(b, c.Name), byte(c.Kind))
		}
	}
	return b
}

// readAnnouncement reads it; what is wrong with it shows in c.short.
func readAnnouncement(c *cursor) *announcement {
	a := &announcement{}
	a.server.system = string(c.counted())
	a.server.timeline = int32(uint32(c.uvarint()))
	a.server.started = c.varint()
	a.origin, a.fingerprint = string(c.counted()), string(c.counted())
	for range c.uvarint() {
		if c.short {
			break
		}
		t := coherence.Table{Name: string(c.counted())}
		for range c.uvarint() {
			if c.short {
				break
			}
			t.Columns = append(t.Columns, coherence.Column{Name: string(c.counted()), Kind: coherence.Kind(c.uint8())})
		}
		a.tables = append(a.tables, t)
	}
	return a
}

// mapping translates a leader's tables and columns into one's own.
type mapping struct {
	tables  []mappedTable
	missing []string // own tables that the leader doesn't watch
	values  [2][]coherence.Value
}

// mappedTable is one table of the leader.
type mappedTable struct {
	id      coherence.TableID
	known   bool
	columns []int // for each of the leader's: its index here, or -1
	width   int   // of the table here
	lacks   coherence.ColumnSet
	bits    []coherence.ColumnSet // for each of the leader's: its bit here
}

// newMapping maps the leader's tables to own. A column that the leader doesn't
// watch, or compares as another kind, is unknown here, which matches
// everything. A table that it doesn't watch at all can't be followed.
func newMapping(leader, own []coherence.Table) *mapping {
	m := &mapping{}
	byName := make(map[string]coherence.TableID)
	widest := 0
	for i := range own {
		byName[own[i].Name] = coherence.TableID(i)
		widest = max(widest, len(own[i].Columns))
	}
	for i := range leader {
		t := mappedTable{}
		id, known := byName[leader[i].Name]
		delete(byName, leader[i].Name)
		for range leader[i].Columns {
			t.columns, t.bits = append(t.columns, -1), append(t.bits, coherence.OtherColumns)
		}
		if known {
			t.id, t.known, t.width = id, true, len(own[id].Columns)
			for to := range own[id].Columns {
				from := leader[i].Column(own[id].Columns[to].Name)
				bit := coherence.ColumnSet(0).With(to)
				if from < 0 || from >= coherence.MaxColumns {
					t.lacks |= bit
					continue
				}
				t.bits[from] = bit
				if leader[i].Columns[from].Kind == own[id].Columns[to].Kind {
					t.columns[from] = to
				}
			}
		}
		m.tables = append(m.tables, t)
	}
	for i := range own {
		if _, missing := byName[own[i].Name]; missing {
			m.missing = append(m.missing, own[i].Name)
		}
	}
	m.values = [2][]coherence.Value{make([]coherence.Value, widest), make([]coherence.Value, widest)}
	return m
}

// covers tells whether everything watched here is watched by the leader.
func (m *mapping) covers() bool { return len(m.missing) == 0 }

func (m *mapping) table(n uint64) (*mappedTable, error) {
	if n >= uint64(len(m.tables)) {
		return nil, fmt.Errorf("decode a transaction of the relay: table %d was not announced", n)
	}
	return &m.tables[n], nil
}

// changed translates the set of columns that differ.
func (t *mappedTable) changed(leader coherence.ColumnSet) coherence.ColumnSet {
	var own coherence.ColumnSet
	if leader&coherence.OtherColumns != 0 {
		own = coherence.OtherColumns | t.lacks
	}
	for i, bit := range t.bits {
		if i < coherence.MaxColumns && leader&coherence.ColumnSet(0).With(i) != 0 {
			own |= bit
		}
	}
	return own
}

func (m *mapping) missingNames() string { return strings.Join(m.missing, ", ") }

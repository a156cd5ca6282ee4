package relay

import (
	"encoding/binary"
	"fmt"
	"strings"

	"walpurge/internal/coherence"
	"walpurge/internal/identifier"
	"walpurge/internal/wire"
)

// ServerID says which running server a history is of. A copy of a cluster has
// the system identifier of the original and often its timeline; what tells them
// apart is when they were started.
type ServerID struct {
	System   string
	Timeline int32
	Started  int64 // µs since 1970, by the server's clock
}

// Announcement is what a leader tells of itself: whose history it relays, and
// which tables and columns it watches. Its followers may have been configured
// otherwise, for instance while a new version is rolled out.
type Announcement struct {
	Server      ServerID
	Origin      string // slot and publication: two of them must not share a stream
	Fingerprint string // of the catalogue
	Tables      []coherence.Table
}

func (a *Announcement) append(b []byte) []byte {
	b = wire.AppendCounted(b, a.Server.System)
	b = binary.AppendUvarint(b, uint64(uint32(a.Server.Timeline)))
	b = binary.AppendVarint(b, a.Server.Started)
	b = wire.AppendCounted(b, a.Origin)
	b = wire.AppendCounted(b, a.Fingerprint)
	b = binary.AppendUvarint(b, uint64(len(a.Tables)))
	for i := range a.Tables {
		t := &a.Tables[i]
		b = wire.AppendCounted(b, t.Name)
		b = binary.AppendUvarint(b, uint64(len(t.Columns)))
		for _, c := range t.Columns {
			b = append(wire.AppendCounted(b, c.Name), byte(c.Kind))
		}
	}
	return b
}

// readAnnouncement reads it; what is wrong with it shows in c.Short.
func readAnnouncement(c *wire.Cursor) *Announcement {
	a := &Announcement{}
	a.Server.System = string(c.Counted())
	a.Server.Timeline = int32(uint32(c.Uvarint()))
	a.Server.Started = c.Varint()
	a.Origin, a.Fingerprint = string(c.Counted()), string(c.Counted())
	for range c.Uvarint() {
		if c.Short {
			break
		}
		t := coherence.Table{Name: string(c.Counted())}
		for range c.Uvarint() {
			if c.Short {
				break
			}
			t.Columns = append(t.Columns, coherence.Column{Name: string(c.Counted()), Kind: coherence.Kind(c.Uint8())})
		}
		a.Tables = append(a.Tables, t)
	}
	return a
}

// Mapping translates a leader's tables and columns into one's own.
type Mapping struct {
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

// Onto maps the leader's tables to own. A column that the leader doesn't
// watch, or compares as another kind, is unknown here, which matches
// everything. A table that it doesn't watch at all can't be followed.
func (a *Announcement) Onto(own []coherence.Table) *Mapping {
	leader, m := a.Tables, &Mapping{}
	byName := make(map[string]coherence.TableID)
	widest := 0
	for i := range own {
		byName[own[i].Name] = coherence.TableID(i)
		widest = max(widest, len(own[i].Columns))
	}
	for i := range leader {
		t := mappedTable{}
		name := identifier.Canonical(leader[i].Name) // older processes write a blank without quotes
		id, known := byName[name]
		delete(byName, name)
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

// Covers tells whether everything watched here is watched by the leader.
func (m *Mapping) Covers() bool { return len(m.missing) == 0 }

func (m *Mapping) table(n uint64) (*mappedTable, error) {
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

// Missing names the own tables that the leader doesn't watch.
func (m *Mapping) Missing() string { return strings.Join(m.missing, ", ") }

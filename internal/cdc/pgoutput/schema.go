package pgoutput

import "walpurge/internal/coherence"

// Schema is what the stream is matched with: the watched tables as the
// database's catalogue had them at one moment. The decoder changes nothing of it.
type Schema struct {
	Relations  []Relation                   // in the order of the guard's tables
	ByOID      map[uint32]coherence.TableID // pg_class.oid of each that is there
	ByName     map[string]coherence.TableID // as identifier.Table writes it
	Partitions map[uint32]coherence.TableID // of watched tables, by pg_class.oid
	Others     map[uint32]bool              // published and not watched, by pg_class.oid
}

// Relation is a watched table.
type Relation struct {
	Name        string // as identifier.Table writes it
	Replident   byte   // pg_class.relreplident
	Partitioned bool
	Columns     []Column        // all of them
	Watched     []WatchedColumn // those that are spoken of
	Old         Identity        // what old rows can be relied on for
}

// Column is a column of a watched table.
type Column struct {
	Name      string
	Type      uint32 // pg_attribute.atttypid
	Generated string // pg_attribute.attgenerated: how; empty: it is not
}

// WatchedColumn is a column in the order of coherence.Table.Columns.
type WatchedColumn struct {
	Name   string
	Wanted bool // conditions compare it, and by the kind that the guard knows
}

// Column is the column of that name; nil: there is none.
func (r *Relation) Column(name string) *Column {
	for i := range r.Columns {
		if r.Columns[i].Name == name {
			return &r.Columns[i]
		}
	}
	return nil
}

// Identity is what can be relied on in old rows of one table. For a
// partitioned one it is what all of its partitions have in common: rows are
// published in the name of the root, but the old row has the columns of the
// partition's own replica identity.
type Identity struct {
	Full bool            // all columns
	Key  map[string]bool // else these columns, by their names
}

// Narrow takes out what a partition does not have.
func (id *Identity) Narrow(full bool, key map[string]bool) {
	id.Full = id.Full && full
	kept := make(map[string]bool)
	for name := range id.Key {
		if key[name] {
			kept[name] = true
		}
	}
	id.Key = kept
}

// identities copies what old rows can be relied on for.
func (s *Schema) identities() []Identity {
	ids := make([]Identity, len(s.Relations))
	for i := range s.Relations {
		ids[i] = s.Relations[i].Old
	}
	return ids
}

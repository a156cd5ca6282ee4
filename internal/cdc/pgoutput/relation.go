package pgoutput

import (
	"bytes"
	"maps"
	"slices"

	"walpurge/internal/coherence"
	"walpurge/internal/identifier"
	"walpurge/internal/wire"
)

// relation is what a Relation message said, matched with the catalogue.
type relation struct {
	oid         uint32
	message     []byte // the content of the message
	table       coherence.TableID
	unwatched   bool // its changes don't matter
	odd         bool // it disagrees with the catalogue
	foreign     bool // it is not as the catalogue says: every change is a change of the whole table
	full        bool // an old row on the wire has every column
	attributes  []attribute
	width       int                 // watched columns of the table
	unpublished coherence.ColumnSet // watched columns that no row on the wire has, such as generated ones
}

// attribute is a column of a relation in the order of the wire.
type attribute struct {
	name    string
	flag    bool                // the message counts it to the replica identity
	key     bool                // it is part of the replica identity wherever the row lies
	watched int                 // index of the watched column
	wanted  bool                // its values are compared with conditions
	bit     coherence.ColumnSet // its bit in Change.Changed
}

// relation reads a Relation message: id, schema, name, replica identity, and
// for every column whether it belongs to the key, name, type, modifier.
func (d *Decoder) relation(c *wire.Cursor) error {
	message := c.Rest
	oid := wire.Cursor{Rest: message}
	if known := d.relations[oid.Uint32()]; known != nil && bytes.Equal(known.message, message) {
		// Every streamed transaction describes what it touches: one is enough.
		c.Rest = nil
		d.describe(known)
		return nil
	}
	rel, err := d.describedBy(c)
	if err != nil {
		return err
	}
	d.describe(rel)
	return nil
}

// describedBy reads the content of a Relation message.
func (d *Decoder) describedBy(c *wire.Cursor) (*relation, error) {
	message := c.Rest
	rel := &relation{oid: c.Uint32()}
	schema, name, ident := c.ZString(), c.ZString(), c.Uint8()
	n := int(c.Uint16())
	var types []uint32
	for range n {
		if c.Short {
			return nil, wire.ErrShort
		}
		a := attribute{flag: c.Uint8()&1 != 0, bit: coherence.OtherColumns}
		a.name = string(c.ZString())
		types = append(types, c.Uint32())
		c.Uint32()
		rel.attributes = append(rel.attributes, a)
	}
	if c.Short {
		return nil, wire.ErrShort
	}
	if len(c.Rest) > 0 {
		return nil, wire.ErrLong
	}
	rel.message = bytes.Clone(message)
	if len(schema) == 0 {
		schema = []byte("pg_catalog")
	}
	qualified := identifier.Table{Schema: string(schema), Name: string(name)}.String()

	table, byOID := d.schema.ByOID[rel.oid]
	byName, named := d.schema.ByName[qualified]
	switch {
	case byOID:
		rel.table = table
		rel.foreign = !d.match(rel, qualified, types)
		rel.full = ident == 'f'
		rel.odd = rel.foreign || ident != d.schema.Relations[table].Replident
	case named:
		// Another table has, or had, the name of a watched one.
		rel.table, rel.foreign, rel.odd = byName, true, true
	default:
		rel.unwatched = true
		d.partition(rel, ident)
		rel.attributes = nil // nobody looks at its rows
	}
	if !rel.unwatched && !rel.foreign {
		d.bind(rel)
	}
	return rel, nil
}

// describe makes rel what its id means from here on, in the transaction that
// is being streamed or in all.
func (d *Decoder) describe(rel *relation) {
	d.last = nil
	if now := d.streaming.now; now != nil {
		now.relations[rel.oid] = rel
	} else {
		d.relations[rel.oid] = rel
	}
	d.suspect = d.suspect || rel.odd
	if rel.foreign && d.inside {
		d.tx.Whole(rel.table)
	}
}

// described finds what an id means.
func (d *Decoder) described(oid uint32) *relation {
	if now := d.streaming.now; now != nil && now.relations[oid] != nil {
		return now.relations[oid]
	}
	return d.relations[oid]
}

// match compares a Relation message with the catalogue and finds the watched
// columns in it.
func (d *Decoder) match(rel *relation, name string, types []uint32) bool {
	known := &d.schema.Relations[rel.table]
	rel.width = len(known.Watched)
	if name != known.Name {
		return false
	}
	missing := make(map[string]bool)
	for i := range known.Columns {
		if known.Columns[i].Generated == "" {
			missing[known.Columns[i].Name] = true
		}
	}
	for i := range rel.attributes {
		a := &rel.attributes[i]
		column := known.Column(a.name)
		if column == nil || column.Type != types[i] {
			return false
		}
		delete(missing, a.name)
	}
	if len(missing) > 0 {
		return false
	}
	for w, column := range known.Watched {
		published := false
		for i := range rel.attributes {
			a := &rel.attributes[i]
			if a.name == column.Name {
				published = true
				a.watched, a.wanted = w, column.Wanted
				a.bit = coherence.ColumnSet(0).With(w)
			}
		}
		if !published {
			rel.unpublished = rel.unpublished.With(w)
		}
	}
	return true
}

// bind computes what old rows of rel may be relied on for.
func (d *Decoder) bind(rel *relation) {
	id := &d.identity[rel.table]
	rel.full = rel.full && id.Full
	for i := range rel.attributes {
		a := &rel.attributes[i]
		a.key = a.flag && id.Key[a.name]
	}
}

// partition looks at a relation that is not watched itself. The server
// describes the partition that a row lies in before the row, so a partition
// whose replica identity has less than the others is noticed in time, even
// one that was attached a moment ago.
func (d *Decoder) partition(rel *relation, ident byte) {
	if d.schema.Others[rel.oid] {
		return
	}
	key := make(map[string]bool)
	for i := range rel.attributes {
		if rel.attributes[i].flag {
			key[rel.attributes[i].name] = true
		}
	}
	root, known := d.schema.Partitions[rel.oid]
	for t := range d.identity {
		table := coherence.TableID(t)
		if !d.schema.Relations[t].Partitioned || known && table != root {
			continue
		}
		d.identity[t].Narrow(ident == 'f', key)
		d.rebind(d.relations, table)
		for _, open := range d.streaming.open {
			d.rebind(open.relations, table)
		}
	}
}

// rebind binds the relations of table again.
func (d *Decoder) rebind(relations map[uint32]*relation, table coherence.TableID) {
	for _, rel := range relations {
		if !rel.unwatched && !rel.foreign && rel.table == table {
			d.bind(rel)
		}
	}
}

// Renew makes d go by another schema: what the stream has described so far
// is matched with it anew. What comes from before it was read doesn't match where
// it differs, and counts as a change of the whole table.
// REQUIRES: d is not inside a transaction.
func (d *Decoder) Renew(s *Schema) {
	d.schema, d.identity, d.last = s, s.identities(), nil
	for _, relations := range slices.Concat([]map[uint32]*relation{d.relations}, d.openRelations()) {
		for _, oid := range slices.Sorted(maps.Keys(relations)) {
			again, err := d.describedBy(&wire.Cursor{Rest: relations[oid].message})
			if err != nil {
				continue // it was understood before
			}
			relations[oid] = again
		}
	}
}

func (d *Decoder) openRelations() (all []map[uint32]*relation) {
	for _, open := range d.streaming.open {
		all = append(all, open.relations)
	}
	return all
}

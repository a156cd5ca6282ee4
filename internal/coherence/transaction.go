package coherence

import "time"

// Op is what happened to a row.
type Op uint8

// The operations.
const (
	Insert Op = iota + 1
	Update
	Delete
	Truncate // every row of the table, or so many that they count as all
	opCount
)

// String is the operation in lower case, as metrics label it.
func (o Op) String() string {
	switch o {
	case Insert:
		return "insert"
	case Update:
		return "update"
	case Delete:
		return "delete"
	case Truncate:
		return "truncate"
	}
	return "unknown"
}

// State tells what is known of one column of one version of a row.
type State uint8

// The states. The zero value is the safe one: an unknown value matches every
// condition.
const (
	Unknown State = iota
	Null
	Known
)

// Value is one column of one version of a row in PostgreSQL's text form. It
// borrows Text; Append copies it.
type Value struct {
	State State
	Text  []byte
}

// Change is one changed row. Its values are read with Transaction.Values.
type Change struct {
	Table    TableID
	Op       Op
	Changed  ColumnSet // of an update: the columns that differ; AnyColumn when unknown
	old, new uint32    // index+1 into Transaction.fields; 0: no such version
}

// field is a value in the transaction's arena.
type field struct {
	off, size uint32
	state     State
}

// Transaction is one committed transaction: positions, and the rows of the
// watched tables that it changed, as far as they fit in bulk rows. It is
// filled with Begin, Append, Whole and Group, completed with Commit, and
// reused: a Guard keeps nothing of it after Apply. What it keeps is bounded:
// rows turn into whole tables, and names of groups into every group.
type Transaction struct {
	XID         uint32
	Start       LSN // where the commit record starts (pgoutput's Begin)
	End         LSN // where it ends (pgoutput's Commit)
	CommittedAt time.Time
	Changes     []Change
	Groups      []string // groups purged by logical messages, unless EveryGroup

	// Rows counts rows by table and operation, those of whole tables too:
	// Rows[table][op].
	Rows [][opCount]int

	bulk       int
	whole      []TableID // tables that match as a whole
	everyGroup bool      // groups match as a whole
	named      int       // bytes of Groups
	fields     []field
	arena      []byte
	tables     []Table
}

// NewTransaction makes an empty transaction over the guard's tables that
// keeps at most bulk rows; beyond that, a table counts as changed as a whole.
func NewTransaction(tables []Table, bulk int) *Transaction {
	return &Transaction{bulk: max(bulk, 1), tables: tables, Rows: make([][opCount]int, len(tables))}
}

// Tables are those that the transaction was made over. What Changes and Rows
// say is in their terms.
func (tx *Transaction) Tables() []Table { return tx.tables }

// maxArena bounds the bytes of values that one transaction keeps. A
// transaction with few but huge values turns into whole tables too.
const maxArena = 64 << 20

// maxNamed bounds the bytes of names of groups that one transaction keeps.
const maxNamed = 1 << 20

// What a transaction keeps takes so many bytes, beside the values and names
// themselves.
const (
	changeSize = 24
	fieldSize  = 12
	stringSize = 16
)

// Begin empties tx and starts a transaction whose commit record starts at
// start.
func (tx *Transaction) Begin(xid uint32, start LSN, at time.Time) {
	tx.XID, tx.Start, tx.End, tx.CommittedAt = xid, start, 0, at
	tx.Changes = tx.Changes[:0]
	tx.Groups, tx.named, tx.everyGroup = tx.Groups[:0], 0, false
	tx.whole = tx.whole[:0]
	tx.fields = tx.fields[:0]
	tx.arena = tx.arena[:0]
	clear(tx.Rows)
}

// Append adds a changed row. old and new have one value for each watched
// column of the table, or are nil where there is no such version (an
// insert's old, a delete's new).
func (tx *Transaction) Append(table TableID, op Op, old, new []Value, changed ColumnSet) {
	tx.Rows[table][op]++
	if tx.isWhole(table) {
		return
	}
	if len(tx.Changes) >= tx.bulk || len(tx.arena) > maxArena {
		tx.collapse()
		tx.Whole(table)
		return
	}
	tx.Changes = append(tx.Changes, Change{
		Table: table, Op: op, Changed: changed,
		old: tx.keep(old), new: tx.keep(new),
	})
}

// collapse turns every table that has changes into a whole one, and lets go of
// their memory: a transaction this large is not the rule.
func (tx *Transaction) collapse() {
	for i := range tx.Changes {
		tx.Whole(tx.Changes[i].Table)
	}
	tx.Changes, tx.fields, tx.arena = nil, nil, nil
}

// Coarsen turns all that tx keeps into whole tables and every group. It matches
// more and takes next to no memory.
func (tx *Transaction) Coarsen() {
	tx.collapse()
	if len(tx.Groups) > 0 {
		tx.EveryGroup()
	}
}

// Size is about how many bytes tx takes.
func (tx *Transaction) Size() int {
	return cap(tx.Changes)*changeSize + cap(tx.fields)*fieldSize + cap(tx.arena) + cap(tx.Groups)*stringSize + tx.named
}

func (tx *Transaction) keep(row []Value) uint32 {
	if row == nil {
		return 0
	}
	at := uint32(len(tx.fields)) + 1
	for _, v := range row {
		f := field{state: v.State}
		if v.State == Known {
			f.off, f.size = uint32(len(tx.arena)), uint32(len(v.Text))
			tx.arena = append(tx.arena, v.Text...)
		}
		tx.fields = append(tx.fields, f)
	}
	return at
}

// Whole records that every row of table may have changed: TRUNCATE, DDL, or
// more rows than bulk.
func (tx *Transaction) Whole(table TableID) {
	if !tx.isWhole(table) {
		tx.whole = append(tx.whole, table)
	}
}

func (tx *Transaction) isWhole(table TableID) bool {
	for _, t := range tx.whole {
		if t == table {
			return true
		}
	}
	return false
}

// WholeTables lists the tables that match as a whole.
func (tx *Transaction) WholeTables() []TableID { return tx.whole }

// Group records the purge of a group by a logical message.
func (tx *Transaction) Group(name string) {
	if tx.everyGroup {
		return
	}
	if tx.named += len(name) + stringSize; tx.named > maxNamed {
		tx.EveryGroup()
		return
	}
	tx.Groups = append(tx.Groups, name)
}

// EveryGroup records the purge of all groups.
func (tx *Transaction) EveryGroup() { tx.Groups, tx.named, tx.everyGroup = nil, 0, true }

// IsEveryGroup tells whether all groups match.
func (tx *Transaction) IsEveryGroup() bool { return tx.everyGroup }

// Commit completes tx; its commit record ends at end.
func (tx *Transaction) Commit(end LSN) { tx.End = end }

// CommitAt completes tx like Commit. It is for a transaction that was received
// while it was open: where its commit record starts is known only now.
func (tx *Transaction) CommitAt(start, end LSN, at time.Time) {
	tx.Start, tx.End, tx.CommittedAt = start, end, at
}

// Empty tells whether tx touches nothing that is watched.
func (tx *Transaction) Empty() bool {
	return len(tx.Changes) == 0 && len(tx.whole) == 0 && len(tx.Groups) == 0 && !tx.everyGroup
}

// Values are the old and the new version of c, nil where there is none. They
// are valid until the next Begin.
func (tx *Transaction) Values(c *Change) (old, new []Value) {
	n := len(tx.tables[c.Table].Columns)
	if c.old != 0 {
		old = tx.version(c.old, n, make([]Value, 0, n))
	}
	if c.new != 0 {
		new = tx.version(c.new, n, make([]Value, 0, n))
	}
	return old, new
}

func (tx *Transaction) version(at uint32, n int, dst []Value) []Value {
	for _, f := range tx.fields[at-1 : at-1+uint32(n)] {
		v := Value{State: f.state}
		if f.state == Known {
			v.Text = tx.arena[f.off : f.off+f.size : f.off+f.size]
		}
		dst = append(dst, v)
	}
	return dst
}

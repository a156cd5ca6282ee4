package coherence

import "strings"

// MaxColumns is how many columns of a table are told apart. Changes to
// columns beyond it count as changes to OtherColumns.
const MaxColumns = 63

// TableID indexes the tables that a Guard was made with.
type TableID uint16

// Table is a watched table: its name and those of its columns that some
// condition or column list mentions.
type Table struct {
	Name    string // as identifier.Table writes it: public.listings
	Columns []Column
}

// Column is a watched column.
type Column struct {
	Name string
	Kind Kind

	// Labels are all values of an Enum. What a request says and isn't among them
	// is no condition: PostgreSQL refuses it, so what the service does with it is
	// unknown.
	Labels []string

	// Twin tells that another column of the table has this name in another letter
	// case, so that Depends-On, whose keys are lower case, can't tell them apart.
	Twin bool
}

// Column finds a column by name; -1 if the table doesn't watch it.
func (t *Table) Column(name string) int {
	for i := range t.Columns {
		if t.Columns[i].Name == name {
			return i
		}
	}
	return -1
}

// Key finds a column by the key that Depends-On has for it, its name in lower
// case; -1 if the table doesn't watch it, or has two of that key.
func (t *Table) Key(key string) int {
	for i := range t.Columns {
		if c := &t.Columns[i]; !c.Twin && strings.ToLower(c.Name) == key {
			return i
		}
	}
	return -1
}

// ColumnSet is a set of watched columns, bit i for Columns[i].
type ColumnSet uint64

// The sets that aren't plain columns.
const (
	OtherColumns ColumnSet = 1 << MaxColumns // a column that is not watched
	AnyColumn    ColumnSet = 1<<64 - 1
)

// With returns s with column i. A column beyond MaxColumns counts as
// OtherColumns.
func (s ColumnSet) With(i int) ColumnSet {
	if i >= MaxColumns {
		return s | OtherColumns
	}
	return s | 1<<i
}

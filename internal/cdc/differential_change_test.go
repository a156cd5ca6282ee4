package cdc

import (
	"fmt"
	"strings"

	"walpurge/internal/cdc/catalogue"
)

// keys is how many different keys rows have.
const keys = 250

// transaction is a random transaction, statement by statement.
func (c *comparison) transaction() []string {
	if c.oneIn(60) {
		return []string{"BEGIN", "TRUNCATE every", c.insert(rowsInTheTable), "COMMIT"}
	}
	if c.IntN(2) == 0 {
		return []string{c.statement()}
	}
	list := []string{"BEGIN"}
	for range 2 + c.IntN(4) {
		switch c.IntN(5) {
		case 0:
			list = append(list, "SAVEPOINT s", c.statement(), "ROLLBACK TO s", c.statement())
		case 1:
			list = append(list, "SAVEPOINT s", c.statement(), "RELEASE s")
		default:
			list = append(list, c.statement())
		}
	}
	if c.oneIn(10) {
		return append(list, "ROLLBACK")
	}
	return append(list, "COMMIT")
}

// statement is a random statement.
func (c *comparison) statement() string {
	switch c.IntN(10) {
	case 0, 1, 2:
		return c.insert(1 + c.IntN(4))
	case 3:
		return "DELETE FROM every WHERE " + c.target()
	case 4:
		return c.move()
	case 5:
		return c.upsert()
	}
	set := c.assignments(1 + c.IntN(4))
	return "UPDATE every SET " + strings.Join(set, ", ") + " WHERE " + c.target()
}

// target chooses rows: mostly one or a few by their keys, now and then many.
func (c *comparison) target() string {
	switch c.IntN(12) {
	case 0:
		return fmt.Sprintf("id %% %d = %d", keys/4, c.IntN(keys/4))
	case 1:
		if c.oneIn(4) {
			return "true"
		}
		// What a page shows, so that pages turn empty and full.
		p := pick(c.Rand, c.pages)
		return "id IN (SELECT id FROM every WHERE " + p.parts[0].condition() + " ORDER BY id LIMIT 4)"
	case 2, 3, 4:
		return fmt.Sprintf("id IN (%d, %d, %d)", c.key(), c.key(), c.key())
	}
	// The nearest there is, so that some row is hit.
	return fmt.Sprintf("id = (SELECT id FROM every ORDER BY abs(id - %d), id LIMIT 1)", c.key())
}

func (c *comparison) key() int { return 1 + c.IntN(keys) }

// move gives a row another key.
func (c *comparison) move() string {
	to := c.key()
	set := []string{fmt.Sprintf("id = %d", to)}
	if c.oneIn(2) {
		set = append(set, c.assignments(1)...)
	}
	return fmt.Sprintf("UPDATE every SET %s WHERE id = (SELECT id FROM every ORDER BY abs(id - %d), id LIMIT 1) AND NOT EXISTS (SELECT FROM every WHERE id = %d)",
		strings.Join(set, ", "), c.key(), to)
}

// insert adds up to n rows; those whose key is taken are left out.
func (c *comparison) insert(n int) string {
	var names []string
	for _, col := range c.all {
		if col.stored() {
			names = append(names, col.name)
		}
	}
	rows := make([]string, n)
	for i := range rows {
		rows[i] = "(" + strings.Join(c.row(), ", ") + ")"
	}
	return "INSERT INTO every (" + strings.Join(names, ", ") + ") VALUES " + strings.Join(rows, ", ") + " ON CONFLICT DO NOTHING"
}

// upsert adds a row, or changes the one that has its key.
func (c *comparison) upsert() string {
	return strings.TrimSuffix(c.insert(1), "DO NOTHING") + "(id) DO UPDATE SET " + strings.Join(c.assignments(2), ", ")
}

// row is a value for each column that can be set.
func (c *comparison) row() []string {
	values := []string{fmt.Sprint(c.key())}
	for i := range c.all[1:] {
		if col := &c.all[1+i]; col.stored() {
			values = append(values, c.value(col))
		}
	}
	return values
}

// assignments set n different columns, never the key; some to what they are.
func (c *comparison) assignments(n int) []string {
	var set []string
	for _, i := range c.Perm(len(c.all)) {
		col := &c.all[i]
		if i == 0 || !col.stored() {
			continue
		}
		value := c.value(col)
		if c.oneIn(10) {
			value = "every." + col.name
		}
		if set = append(set, col.name+" = "+value); len(set) == n {
			break
		}
	}
	return set
}

// value is a random value of a column.
func (c *comparison) value(col *variety) string {
	if c.oneIn(7) {
		return "NULL"
	}
	return catalogue.QuoteText(pick(c.Rand, col.rows))
}

// stored tells whether rows say what the column has: it is not generated.
func (v *variety) stored() bool { return len(v.rows) > 0 }

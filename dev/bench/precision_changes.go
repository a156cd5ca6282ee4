package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// rowChange is a statement that changes one row and returns its id.
type rowChange struct {
	what string
	sql  string
	args []any
}

// changer makes random changes of the listings service's rows, one at a time: of every column, with inserts and deletes. The same seed
// gives the same ones.
type changer struct {
	random *rand.Rand
	made   int
	ids    []int64 // of the listings there are
	agents int64
	cities []string // that with the most listings first
	types  []string
	newest time.Time // that a listing was made
	oldest time.Time
}

func newChanger(ctx context.Context, conn *pgx.Conn, seed uint64) (*changer, error) {
	c := &changer{random: rand.New(rand.NewPCG(seed, 0))}
	err := conn.QueryRow(ctx, `SELECT array_agg(id ORDER BY id), (SELECT max(id) FROM agents), min(created_at), max(created_at),
		(SELECT array_agg(city) FROM (SELECT city FROM listings GROUP BY city ORDER BY count(*) DESC, city) c),
		(SELECT array_agg(DISTINCT property_type ORDER BY property_type) FROM listings) FROM listings`).Scan(&c.ids, &c.agents, &c.oldest, &c.newest, &c.cities, &c.types)
	if err != nil {
		return nil, fmt.Errorf("read what there is to change: %w", err)
	}
	return c, nil
}

// next is a change. shown are listings that pages show now: a third of the changes are of one of them, the others of any.
func (c *changer) next(shown []int64) rowChange {
	c.made++
	id := c.ids[c.random.IntN(len(c.ids))]
	if len(shown) > 0 && c.random.IntN(3) == 0 {
		id = shown[c.random.IntN(len(shown))]
	}
	switch n := c.random.IntN(100); {
	case n < 12:
		return c.insert()
	case n < 20:
		return rowChange{"delete", "DELETE FROM listings WHERE id = $1 RETURNING id", []any{id}}
	case n < 30:
		return c.agent()
	case n < 36: // as an editor's form does, most of what it sends being as it was
		return rowChange{
			"price and status", "UPDATE listings SET title = title, price = $2, status = $3, updated_at = $4 WHERE id = $1 RETURNING id",
			[]any{id, c.price(), pickOf(c, statuses), c.newest},
		}
	default:
		return c.column(id)
	}
}

var statuses = []string{"active", "pending", "sold", "withdrawn"}

// column changes one column of a listing, each as often as the others.
func (c *changer) column(id int64) rowChange {
	columns := []string{"title", "description", "price", "price a little", "city", "property_type", "bedrooms", "status", "agent_id", "created_at", "updated_at"}
	name := pickOf(c, columns)
	column, value := name, "$2"
	var arg any
	switch name {
	case "title", "description":
		arg = fmt.Sprintf("Changed in change %d", c.made)
	case "price":
		arg = c.price()
	case "price a little":
		column, value, arg = "price", "round(price * $2 / 1000, 2)", 900+c.random.IntN(201)
	case "city":
		arg = c.city()
	case "property_type":
		arg = pickOf(c, c.types)
	case "bedrooms":
		if n := c.random.IntN(7); n > 0 { // nil: NULL
			arg = n - 1
		}
	case "status":
		arg = pickOf(c, statuses)
	case "agent_id":
		if n := c.random.Int64N(c.agents + 1); n > 0 {
			arg = n
		}
	case "created_at":
		arg = c.instant()
	case "updated_at":
		arg = c.newest.Add(time.Duration(c.made) * time.Second)
	}
	return rowChange{name, "UPDATE listings SET " + column + " = " + value + " WHERE id = $1 RETURNING id", []any{id, arg}}
}

// insert is mostly of a listing that is newer than all others.
func (c *changer) insert() rowChange {
	created := c.instant()
	if c.random.IntN(4) > 0 {
		c.newest = c.newest.Add(time.Minute)
		created = c.newest
	}
	return rowChange{
		"insert", `INSERT INTO listings (title, description, price, city, property_type, bedrooms, agent_id, created_at, updated_at)
			VALUES ($1, 'Just listed', $2, $3, $4, $5, $6, $7, $7) RETURNING id`,
		[]any{fmt.Sprintf("Listed in change %d", c.made), c.price(), c.city(), pickOf(c, c.types), c.random.IntN(6), 1 + c.random.Int64N(c.agents), created},
	}
}

// agent renames an agent, or changes what lists don't show.
func (c *changer) agent() rowChange {
	column := pickOf(c, []string{"name", "name", "phone", "email"})
	id := 1 + c.random.Int64N(c.agents)
	if c.random.IntN(3) == 0 { // one who has a page
		id = 1 + c.random.Int64N(6)
	}
	return rowChange{"agent's " + column, "UPDATE agents SET " + column + " = $2 WHERE id = $1 RETURNING id", []any{id, fmt.Sprintf("changed%d@example.com", c.made)}}
}

// did makes a change, and notes which listings there are.
func (c *changer) did(ctx context.Context, conn *pgx.Conn, change rowChange) error {
	var id int64
	if err := conn.QueryRow(ctx, change.sql, change.args...).Scan(&id); err != nil {
		return fmt.Errorf("%s: %w", change.what, err)
	}
	switch change.what {
	case "insert":
		c.ids = append(c.ids, id)
	case "delete":
		c.ids = slices.DeleteFunc(c.ids, func(other int64) bool { return other == id })
	}
	return nil
}

func (c *changer) price() int { return 1000 * (20 + c.random.IntN(1500)) }

// city is one of the cities that pages are asked of half of the time.
func (c *changer) city() string {
	if c.random.IntN(2) == 0 {
		return pickOf(c, c.cities[:4])
	}
	return pickOf(c, c.cities)
}

func (c *changer) instant() time.Time {
	minutes := int64(c.newest.Sub(c.oldest) / time.Minute)
	return c.oldest.Add(time.Duration(c.random.Int64N(minutes)) * time.Minute)
}

func pickOf[T any](c *changer, from []T) T { return from[c.random.IntN(len(from))] }

package admin

import (
	"sync"
	"time"
)

// keptChanges is how many of the last changes are kept for the dashboard.
const keptChanges = 32

// change is what one transaction did to one table, and what that purged.
type change struct {
	At     int64   `json:"at"` // ms since 1970
	Table  string  `json:"table"`
	Op     string  `json:"op"`
	Rows   int     `json:"rows"`
	Purged int     `json:"purged"`
	Took   float64 `json:"took_ms"`
}

// changes is a ring of the last changes. The zero value is empty.
type changes struct {
	mu struct {
		sync.Mutex
		ring  [keptChanges]change
		count int // ever added
	}
}

func (c *changes) add(one change) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.ring[c.mu.count%keptChanges] = one
	c.mu.count++
}

// newest returns what is kept, the newest first.
func (c *changes) newest() []change {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := min(c.mu.count, keptChanges)
	list := make([]change, 0, n)
	for i := range n {
		list = append(list, c.mu.ring[(c.mu.count-1-i)%keptChanges])
	}
	return list
}

// Changed notes for the dashboard that a transaction has changed rows of a table
// by op (insert, update, delete or truncate), that purged responses went from the
// memory tier for it, and how long that took. The last 32 are kept. It may be
// called from any goroutine and never waits for a reader.
func (a *Admin) Changed(table, op string, rows, purged int, took time.Duration) {
	a.dashboard.changes.add(change{
		At: time.Now().UnixMilli(), Table: table, Op: op, Rows: rows, Purged: purged, Took: float64(took) / float64(time.Millisecond),
	})
}

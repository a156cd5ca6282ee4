package audit

import (
	"cmp"
	"fmt"
	"slices"
	"sync"

	"walpurge/internal/coherence"
)

// keptRecent is how many changes of each table are remembered.
const keptRecent = 256

// recent remembers the last changes of each table with their positions, so
// that an audit can tell what has happened since a response was fetched. The
// zero value is empty.
type recent struct {
	mu struct {
		sync.Mutex
		tables map[string]*recentTable
	}
}

type recentTable struct {
	ring  [keptRecent]recentChange
	count int // ever added
}

// recentChange is what one transaction did to a table by one operation.
type recentChange struct {
	at   coherence.Position // the end of its commit
	op   string
	rows int
}

func (r *recent) add(table string, c recentChange) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mu.tables == nil {
		r.mu.tables = make(map[string]*recentTable)
	}
	t := r.mu.tables[table]
	if t == nil {
		t = &recentTable{}
		r.mu.tables[table] = t
	}
	t.ring[t.count%keptRecent] = c
	t.count++
}

// recentSum is what a table's transactions have done by one operation.
type recentSum struct {
	table, op          string
	transactions, rows int
	first, last        coherence.LSN
	more               bool // there were earlier ones that are forgotten
}

// String tells it in words for the log.
func (s recentSum) String() string {
	least, where := "", fmt.Sprintf("at %s", s.last)
	if s.more {
		least = "at least "
	}
	if s.transactions > 1 {
		where = fmt.Sprintf("in %d transactions from %s to %s", s.transactions, s.first, s.last)
	}
	return fmt.Sprintf("%s: %s %s%d %s", s.table, s.op, least, s.rows, where)
}

// since sums up what has changed after asof in its epoch, by table and
// operation in the order of their names.
func (r *recent) since(asof coherence.Position) []recentSum {
	r.mu.Lock()
	defer r.mu.Unlock()
	var sums []recentSum
	for table, t := range r.mu.tables {
		kept := min(t.count, keptRecent)
		forgot := t.count > keptRecent // and what is forgotten was after asof, too
		for i := t.count - kept; i < t.count; i++ {
			c := &t.ring[i%keptRecent]
			if c.at.Epoch != asof.Epoch || c.at.LSN <= asof.LSN {
				forgot = false
				continue
			}
			at := slices.IndexFunc(sums, func(s recentSum) bool { return s.table == table && s.op == c.op })
			if at < 0 {
				sums = append(sums, recentSum{table: table, op: c.op, first: c.at.LSN})
				at = len(sums) - 1
			}
			s := &sums[at]
			s.transactions++
			s.rows += c.rows
			s.last = c.at.LSN
		}
		for i := range sums {
			if sums[i].table == table {
				sums[i].more = forgot
			}
		}
	}
	slices.SortFunc(sums, func(a, b recentSum) int {
		if a.table != b.table {
			return cmp.Compare(a.table, b.table)
		}
		return cmp.Compare(a.op, b.op)
	})
	return sums
}

package main

import (
	"fmt"
	"sync"
	"time"
)

// ledger knows which version of a row was committed when, so that a response can be told to be stale. Row i has the
// version base when it begins.
type ledger struct {
	mu struct {
		sync.Mutex
		rows [][]commit // by row; commit k made the version base+k+1
	}
	base int
}

// commit is a change of a row.
type commit struct {
	returned time.Time // when the writer knew that it was committed
	settled  time.Time // when our proxy had said that it was settled; zero: not yet
}

func newLedger(rows, base int) *ledger {
	l := &ledger{base: base}
	l.mu.rows = make([][]commit, rows)
	return l
}

// committed notes that a row has a new version.
func (l *ledger) committed(row, version int, at time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if want := l.base + len(l.mu.rows[row]) + 1; version != want {
		return fmt.Errorf("row %d came to version %d, want %d: somebody else writes", row, version, want)
	}
	l.mu.rows[row] = append(l.mu.rows[row], commit{returned: at})
	return nil
}

// settle notes that our proxy has said, before the time at, that a version is settled.
func (l *ledger) settle(row, version int, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.rows[row][version-l.base-1].settled = at
}

// verdict is what the ledger says of a response.
type verdict struct {
	stale   bool
	age     time.Duration // since the commit of the version after the one that was served
	settled bool          // that commit had been settled before the request began
}

// judge tells whether version was behind what had been committed when the request began.
func (l *ledger) judge(row, version int, began time.Time) (verdict, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	next := version - l.base // the commit that made version+1
	commits := l.mu.rows[row]
	if next < 0 {
		return verdict{}, fmt.Errorf("row %d was served in version %d, older than the first, %d", row, version, l.base)
	}
	if next >= len(commits) || commits[next].returned.After(began) {
		return verdict{}, nil
	}
	c := commits[next]
	return verdict{stale: true, age: began.Sub(c.returned), settled: !c.settled.IsZero() && !c.settled.After(began)}, nil
}

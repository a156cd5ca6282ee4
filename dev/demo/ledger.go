package main

import (
	"slices"
	"sync"
	"time"
)

// page is an address of the site with what decides which writes may change it.
type page struct {
	target string // path and query
	id     int64  // of a detail page; 0: a list
	city   string // that a list is filtered by; "": not filtered
}

// touch is what one statement did: the rows, and the cities they were or are in.
type touch struct {
	ids    []int64
	cities []string
}

// write is one entry of a ledger. While it is open, and when it failed, nobody knows what it did.
type write struct {
	begun, ended time.Time
	known        bool
	touch
}

// ledger remembers when the demo's own writers changed what. A commit became visible at some instant between the
// beginning of its write and the end, both included.
type ledger struct {
	mu     sync.Mutex
	open   map[*write]struct{}
	closed []*write // in the order of their ends
}

// remembered is how long a write stays in the ledger after its end. It is far above the length of an audit.
const remembered = time.Minute

func newLedger() *ledger { return &ledger{open: make(map[*write]struct{})} }

// begin is called before a statement is sent.
func (l *ledger) begin() *write {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := &write{begun: time.Now()}
	l.open[w] = struct{}{}
	return w
}

// end is called after the statement's answer has come. nil means that its outcome is unknown.
func (l *ledger) end(w *write, t *touch) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.open, w)
	w.ended = time.Now()
	if t != nil {
		w.known, w.touch = true, *t
	}
	l.closed = append(l.closed, w)
	old := 0
	for old < len(l.closed) && w.ended.Sub(l.closed[old].ended) > remembered {
		old++
	}
	l.closed = slices.Delete(l.closed, 0, old)
}

// touched reports whether a write that may have changed p could have become visible between from and to. What it can't
// tell counts as yes; so does a time that it has forgotten.
func (l *ledger) touched(p page, from, to time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if time.Since(from) > remembered {
		return true
	}
	for w := range l.open {
		if !w.begun.After(to) {
			return true
		}
	}
	for i := len(l.closed) - 1; i >= 0 && !l.closed[i].ended.Before(from); i-- {
		if w := l.closed[i]; !w.begun.After(to) && w.concerns(p) {
			return true
		}
	}
	return false
}

// concerns reports whether the write may have changed p. It looks at a list's city and not at its other filters: it
// errs on the side of yes.
func (w *write) concerns(p page) bool {
	switch {
	case !w.known:
		return true
	case p.id != 0:
		return slices.Contains(w.ids, p.id)
	case p.city == "":
		return len(w.ids) > 0
	}
	return slices.Contains(w.cities, p.city)
}

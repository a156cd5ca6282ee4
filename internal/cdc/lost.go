package cdc

import (
	"maps"
	"slices"
)

// Lost is a watched table that can't be followed: what depends on it is asked of
// the origin.
type Lost struct {
	Table string `json:"table"`
	Why   string `json:"why"` // with the mend
}

// noteLost notes which tables can't be followed.
func (l *Listener) noteLost(lost map[string]string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.status.Lost = nil // those who have a status keep theirs
	for _, table := range slices.Sorted(maps.Keys(lost)) {
		l.mu.status.Lost = append(l.mu.status.Lost, Lost{table, lost[table]})
	}
}

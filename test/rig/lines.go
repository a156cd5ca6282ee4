package rig

import (
	"slices"
	"strings"
	"sync"
)

// Lines is a log that grows.
type Lines struct {
	mu   sync.Mutex
	text []string
}

func (l *Lines) add(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, line)
}

// After returns the lines from the n-th on that contain what is given.
func (l *Lines) After(n int, what string) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var found []string
	for _, line := range l.text[n:] {
		if strings.Contains(line, what) {
			found = append(found, line)
		}
	}
	return found
}

// Last returns the last n lines, or all if there are fewer.
func (l *Lines) Last(n int) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.text[max(0, len(l.text)-n):])
}

// Count is how many there are.
func (l *Lines) Count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.text)
}

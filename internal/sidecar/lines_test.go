package sidecar

import (
	"slices"
	"strings"
	"sync"
)

// lines is a log that grows.
type lines struct {
	mu   sync.Mutex
	text []string
}

func (l *lines) add(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, line)
}

// after returns the lines from the n-th on that contain what is given.
func (l *lines) after(n int, what string) []string {
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

// last returns the last n lines, or all if there are fewer.
func (l *lines) last(n int) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.text[max(0, len(l.text)-n):])
}

func (l *lines) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.text)
}

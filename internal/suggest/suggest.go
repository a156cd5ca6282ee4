// Package suggest finds the word that somebody may have meant, for messages about
// unknown ones. It knows nothing of the project.
package suggest

import (
	"fmt"
	"slices"
	"strings"
)

// For ends a message about an unknown word: the nearest known one, or else all of them.
func For(word string, known []string) string {
	if best := Nearest(word, known); best != "" {
		return fmt.Sprintf("did you mean %q?", best)
	}
	return "there is " + Enumerate(known, " and ")
}

// Nearest returns the known word that word is most likely a slip of, or "" when none is near enough.
func Nearest(word string, known []string) string {
	best, distance := "", len(word)/3+2
	for _, k := range known {
		if d := editDistance(strings.ToLower(word), k); d < distance {
			best, distance = k, d
		}
	}
	return best
}

// Enumerate lists words with commas, and the last with and, which brings its blanks.
func Enumerate(words []string, and string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + and + words[last]
}

// editDistance counts the insertions, deletions, substitutions and swaps of neighbours that turn a into b.
func editDistance(a, b string) int {
	const tooLong = 100
	if len(a) > tooLong || len(b) > tooLong {
		return tooLong
	}
	var before, last []int
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before, last, row = last, row, make([]int, len(b)+1)
		row[0] = i + 1
		for j := range len(b) {
			change := 1
			if a[i] == b[j] {
				change = 0
			}
			row[j+1] = slices.Min([]int{last[j] + change, last[j+1] + 1, row[j] + 1})
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
	}
	return row[len(b)]
}

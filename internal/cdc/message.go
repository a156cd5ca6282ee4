package cdc

import (
	"bytes"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"unicode"

	"walpurge/internal/coherence"
)

// messagePrefix is the prefix of logical messages that purge groups, and of
// nothing else.
const messagePrefix = "walpurge"

// purgeContent is the content of the message that purges groups.
func purgeContent(groups []string) (string, error) {
	if len(groups) == 0 {
		return "", errors.New("no group to purge")
	}
	for _, g := range groups {
		if g == "" || strings.ContainsFunc(g, unicode.IsSpace) || strings.ContainsFunc(g, unicode.IsControl) {
			return "", fmt.Errorf("group %q: a name is not empty and has neither white space nor control characters", g)
		}
	}
	return strings.Join(groups, " "), nil
}

// tableWord begins a word of a message that drops what depends on a table; the
// table's name follows, percent-encoded. No group can be called so.
const tableWord = "\x01table="

// tableContent is the content of the message that drops what depends on tables.
func tableContent(names []string) string {
	words := make([]string, len(names))
	for i, name := range names {
		words[i] = tableWord + url.QueryEscape(name)
	}
	return strings.Join(words, " ")
}

// purge records what one word of a message purges: a group, or what depends on a
// table.
func purge(tx *coherence.Transaction, word []byte) {
	escaped, isTable := bytes.CutPrefix(word, []byte(tableWord))
	if !isTable {
		tx.Group(string(word))
		return
	}
	name, err := url.QueryUnescape(string(escaped))
	for t, table := range tx.Tables() {
		if table.Name == name || err != nil { // G5
			tx.Whole(coherence.TableID(t))
		}
	}
}

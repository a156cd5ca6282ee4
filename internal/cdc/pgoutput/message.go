package pgoutput

import (
	"bytes"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"unicode"

	"walpurge/internal/coherence"
)

// Prefix is the prefix of logical messages that purge groups, and of
// nothing else.
const Prefix = "walpurge"

// PurgeGroups is the content of the message that purges groups. A name that is
// empty or has white space or control characters is an error.
func PurgeGroups(groups []string) (string, error) {
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

// DropTables is the content of the message that drops what depends on tables.
func DropTables(names []string) string {
	words := make([]string, len(names))
	for i, name := range names {
		words[i] = tableWord + url.QueryEscape(name)
	}
	return strings.Join(words, " ")
}

// Purge records what one word of a message purges: a group, or what depends on a
// table.
func Purge(tx *coherence.Transaction, word []byte) {
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

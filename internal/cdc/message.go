package cdc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"unicode"

	"github.com/jackc/pgx/v5"

	"walpurge/internal/coherence"
)

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

// emit writes a transactional message and returns a position at or after its
// commit. The commit is flushed here and waits for no standby, so the flush
// position is such a position, and one that is reached.
func emit(ctx context.Context, conn *pgx.Conn, content string) (coherence.LSN, error) {
	err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SET LOCAL synchronous_commit = local"); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "SELECT pg_logical_emit_message(true, $1, $2::text)", messagePrefix, content)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("write a logical message: %w", err)
	}
	var at string
	if err := conn.QueryRow(ctx, flushQuery).Scan(&at); err != nil {
		return 0, fmt.Errorf("ask for the flush position: %w", err)
	}
	return coherence.ParseLSN(at)
}

package readahead

import (
	"bytes"

	"walpurge/internal/cdc/pgoutput"
	"walpurge/internal/coherence"
	"walpurge/internal/wal"
)

// coarse makes r.tx what a commit means.
func (r *pass) coarse(c *wal.Commit, verdicts map[wal.File]verdict) {
	tx := r.tx
	tx.Begin(c.XID, c.Start, pgoutput.Timestamp(uint64(c.At)))
	every := c.Everything || len(c.Truncated) > 0 || c.Messaged // which may have named any table
	for i := range c.Files {
		f := &c.Files[i]
		switch v := verdicts[f.File]; {
		case v.watched:
			for op, n := range f.Rows {
				tx.Rows[v.table][op] += n
			}
			tx.Whole(v.table)
		case !v.nothing:
			every = true
		}
	}
	if every {
		for t := range tx.Tables() {
			tx.Whole(coherence.TableID(t))
		}
	}
	r.messages(c)
	tx.Commit(c.End)
}

// messages takes the groups that messages purge, as the decoder does.
func (r *pass) messages(c *wal.Commit) {
	if c.Messaged {
		r.tx.EveryGroup()
		return
	}
	for _, content := range c.Messages {
		for word := range bytes.FieldsSeq(content) {
			pgoutput.Purge(r.tx, word)
		}
	}
}

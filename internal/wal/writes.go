package wal

import "walpurge/internal/coherence"

// of is what the transaction or subtransaction xid has written.
func (d *Digest) of(xid uint32) *writes {
	if d.last != nil && d.lastID == xid {
		return d.last
	}
	w := d.open[xid]
	if w == nil {
		if len(d.open) >= mostIDs {
			d.lost = true
			return &writes{}
		}
		if n := len(d.free); n > 0 {
			w, d.free = d.free[n-1], d.free[:n-1]
		} else {
			w = &writes{}
		}
		d.open[xid] = w
	}
	d.lastID, d.last = xid, w
	return w
}

// touch counts rows of a file.
func (w *writes) touch(f File, op coherence.Op, rows int) {
	// The last one is the likeliest.
	for i := len(w.files) - 1; i >= 0; i-- {
		if w.files[i].File == f {
			w.files[i].Rows[op] += rows
			return
		}
	}
	if len(w.files) >= mostFiles {
		w.everything = true
		return
	}
	t := Touched{File: f}
	t.Rows[op] = rows
	w.files = append(w.files, t)
}

// forget ends xid.
func (d *Digest) forget(xid uint32) {
	w := d.open[xid]
	if w == nil {
		return
	}
	delete(d.open, xid)
	if d.last == w {
		d.last = nil
	}
	if len(d.free) < 64 {
		*w = writes{files: w.files[:0]}
		d.free = append(d.free, w)
	}
}

// take moves what xid has written to c.
func (d *Digest) take(c *Commit, xid uint32) {
	w := d.open[xid]
	if w == nil {
		c.Everything = c.Everything || d.lost
		c.Messaged = c.Messaged || d.lost
		return
	}
	for i := range w.files {
		c.add(&w.files[i])
	}
	c.Truncated = append(c.Truncated, w.truncated...)
	c.Messages = append(c.Messages, w.messages...)
	c.Everything = c.Everything || w.everything
	c.Messaged = c.Messaged || w.messaged
	d.forget(xid)
}

// add counts what a subtransaction has written to its transaction.
func (c *Commit) add(t *Touched) {
	for i := range c.Files {
		if c.Files[i].File == t.File {
			for op, rows := range t.Rows {
				c.Files[i].Rows[op] += rows
			}
			return
		}
	}
	if len(c.Files) >= 4*mostFiles {
		c.Everything = true
		return
	}
	c.Files = append(c.Files, *t)
}

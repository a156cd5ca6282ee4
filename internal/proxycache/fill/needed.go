package fill

import (
	"walpurge/internal/coherence"
	"walpurge/internal/proxycache/position"
)

// needsOfFill sets what a fill needs, right before its request is sent: the
// applied position. It is at or above asof, which was fixed before (R2), and
// covers what those who wait for the fill have been promised: all that is
// proven, and their own positions (G2, G3, G4). What is applied later and
// touches the fill takes it out of the table and out of the store, as ever.
func (f *fetch) needsOfFill() {
	if !f.guarded() {
		return
	}
	at := f.fills.guard.Position()
	if at.Epoch != f.Entry.Handle.Epoch() {
		at = coherence.Position{} // it is in vain already; nothing says how the two compare
	}
	position.TellNeeds(f.header, at)
}

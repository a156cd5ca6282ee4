package cdc

import (
	"cmp"

	"walpurge/internal/cdc/catalogue"
	"walpurge/internal/cdc/primary"
	"walpurge/internal/coherence"
	"walpurge/internal/relay"
)

// history is what a session must continue to stay in the epoch.
type history struct {
	begun       bool // the rest is known: a session has run here, or the relay has told
	server      primary.Server
	fingerprint string           // of the catalogue
	doubt       string           // the reason for a new epoch that the last session left; empty: none
	stuck       *catalogue.Stuck // the slot that the last session could not read on; nil: none
}

// standing is where a session has found the server.
type standing struct {
	position coherence.LSN // up to which the log is flushed
	applied  coherence.LSN // what had been applied before that was asked
	slot     coherence.LSN // at which the slot stands
	provided string        // why the slot alone means a new epoch; empty: it doesn't
	setBack  bool          // it has been seen behind what was applied, and nobody leads on another
}

// plan is what a session is about to do with the history before it.
type plan struct {
	standing
	reason    string        // for a new epoch; empty: the history goes on
	unsettled coherence.LSN // commits below it may not be visible yet; 0: all are
	read      uint64        // the relay had been read up to this entry
}

// waits tells whether the transactions that are open now have to end before
// the stream may start.
func (p *plan) waits() bool { return p.reason != "" || p.unsettled != 0 }

// The reasons for a new epoch (R8), as metrics label them:
//
//	start         the process has started
//	temporary     a temporary slot ended with its connection
//	system        another cluster answers, or the original of a copy that was followed
//	timeline      the same cluster after a failover or a recovery to a point in time
//	behind        the server's log ended before what has been applied: it was set back
//	slot_missing  the slot had been dropped
//	slot_lost     the server had removed WAL that the slot needed
//	slot_ahead    the slot stands beyond what has been applied: somebody moved it or made it again
//	publication   the slot had to decode changes from when its publication was not there
//	decode        the stream could not be understood
//	schema        a relation in the stream led to a change of the publication
//	catalogue     the publication has changed, or what is watched
//	relay         Redis took nothing for so long that others can't continue
//	redis         Redis has lost entries of the relay
//	gap           a follower found entries of the relay missing
//
// reason decides whether a session must start one. It returns the reason, or
// the empty string if it continues the history.
func (o *opening) reason(found standing) string {
	held := o.guard.Applied()
	if o.follower != nil {
		held = o.follower.held()
	}
	return o.reasonFrom(found, held)
}

// reasonFrom decides when everything up to held need not come again.
func (o *opening) reasonFrom(found standing, held coherence.LSN) string {
	h := o.history
	switch {
	case o.guard.Epoch() == 0:
		return "start"
	case !h.begun: // it has followed what can't be continued
		return cmp.Or(h.doubt, "gap")
	case o.server.System != h.server.System:
		return "system"
	case o.server.Timeline != h.server.Timeline:
		return "timeline"
	case o.server.Started < h.server.Started:
		return "system" // no restart: it was a copy that was followed
	case found.position < found.applied || found.setBack:
		return "behind"
	case found.provided != "":
		return found.provided
	case h.doubt != "":
		return h.doubt
	case found.slot > held:
		return "slot_ahead"
	case !o.catalogue.Look.Continues(catalogue.ParseLook(h.fingerprint), o.guard.Tables()):
		return "catalogue"
	}
	return ""
}

// announced is the server as leaders announce it.
func announced(s primary.Server) relay.ServerID {
	return relay.ServerID{System: s.System, Timeline: s.Timeline, Started: s.Started}
}

// serverOf is the server that a leader has announced: a primary.
func serverOf(id relay.ServerID) primary.Server {
	return primary.Server{System: id.System, Timeline: id.Timeline, Started: id.Started}
}

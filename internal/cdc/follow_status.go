package cdc

import "walpurge/internal/relay"

// Roles of a process.
const (
	roleLeader   = relay.RoleLeader // it holds the slot
	roleFollower = "follower"       // the one that does tells it
	roleWaiting  = "waiting"        // for the slot, or for an entry of the relay to begin at
)

// RelayStatus is where a process stands with the relay.
type RelayStatus struct {
	Sequence  uint64 `json:"sequence"`            // of the last entry read or written
	Applied   string `json:"applied"`             // everything up to here is in the relay
	Watermark string `json:"watermark"`           // and visible, as the leader has said
	Covered   bool   `json:"covered"`             // the leader watches everything that is watched here
	Queued    int    `json:"queued"`              // bytes that wait for Redis, on the leader
	Doubt     string `json:"doubt,omitempty"`     // why the history has ended here, though nobody has begun another
	Elsewhere string `json:"elsewhere,omitempty"` // why the server that answers here is not the one that the leader follows
}

// status is the role and where the relay stands.
func (f *follower) status() (string, *RelayStatus) {
	f.mu.Lock()
	defer f.mu.Unlock()
	m := &f.mu
	s := &RelayStatus{Sequence: m.Seq, Applied: m.Applied.String(), Watermark: m.Watermark.String(), Doubt: m.doubt, Elsewhere: m.elsewhere}
	s.Covered = m.leading || m.known && f.covered()
	if w := f.mu.writer; w != nil {
		s.Queued = w.Queued()
	}
	switch {
	case m.leading:
		return roleLeader, s
	case m.known && s.Covered:
		return roleFollower, s
	}
	return roleWaiting, s
}

package cdc

import (
	"maps"
	"slices"
	"time"

	"walpurge/internal/cdc/catalogue"
	"walpurge/internal/pgerror"
	"walpurge/internal/relay"
)

// Status is where a Listener stands, for people and for metrics.
type Status struct {
	Role        string `json:"role"`                  // leader, follower or waiting
	Connected   bool   `json:"connected"`             // this process reads the slot
	State       string `json:"state"`                 // in words
	WaitingFor  string `json:"waiting_for,omitempty"` // the sessions of the server that keep it waiting
	Slot        string `json:"slot"`
	Publication string `json:"publication"`
	System      string `json:"system"`
	Timeline    int32  `json:"timeline"`
	Version     int    `json:"version"` // server_version_num

	Epoch     string        `json:"epoch"`
	Applied   string        `json:"applied"`   // decoded and applied up to here
	Watermark string        `json:"watermark"` // and visible: what is acknowledged
	Pending   int           `json:"pending"`   // transactions applied and not known to be visible
	Open      int           `json:"open"`      // large transactions that are received before they end
	Behind    time.Duration `json:"behind"`    // age of the last proof of freshness in ns; -1: none

	ReadAhead             bool   `json:"read_ahead"`              // the stream is behind, and the log is read ahead of it
	ReadAheadTransactions uint64 `json:"read_ahead_transactions"` // that were applied by whole tables because of that

	Lost []Lost `json:"lost,omitempty"` // watched tables that can't be followed

	RetainedBytes int64  `json:"retained_bytes"` // of WAL that the slot keeps; -1: not known
	WALStatus     string `json:"wal_status"`     // of pg_replication_slots

	Relay   *RelayStatus `json:"relay,omitempty"`
	Members []relay.Peer `json:"members,omitempty"` // the processes that share the slot, the leader first

	Sessions    int       `json:"sessions"` // streams that have started
	Failures    int       `json:"failures"` // sessions that ended or didn't come about
	LastError   string    `json:"last_error,omitempty"`
	LastErrorAt time.Time `json:"last_error_at,omitzero"`
}

// Lost is a watched table that can't be followed: what depends on it is asked of
// the origin.
type Lost struct {
	Table string `json:"table"`
	Why   string `json:"why"` // with the mend
}

// Status may be called from any goroutine.
func (l *Listener) Status() Status {
	l.shared.mu.Lock()
	s := l.shared.mu.status
	l.shared.mu.Unlock()
	s.Epoch = l.guard.Epoch().String()
	s.Applied, s.Watermark = l.guard.Applied().String(), l.guard.Watermark().String()
	s.ReadAhead, s.ReadAheadTransactions = l.readAhead.On(), l.readAhead.Transactions()
	s.Pending, s.Open = l.guard.Pending(), int(l.open.Load())
	switch {
	case l.follower != nil:
		s.Role, s.Relay = l.follower.status()
		s.Members = l.follower.members()
	case s.Connected:
		s.Role = roleLeader
	default:
		s.Role = roleWaiting
	}
	s.Behind = -1
	if proven := l.guard.Proven(); proven != 0 {
		s.Behind = time.Duration(l.cfg.Now() - proven)
	}
	return s
}

// forRelay is what a connection to Redis is for. Where its URL is set is logged
// with it, and never the URL, which may have a password.
const forRelay = "relay"

// noteSlot notes what the watcher saw of the slot.
func (h *shared) noteSlot(name string, s *catalogue.Slot) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.mu.status.RetainedBytes, h.mu.status.WALStatus = -1, ""
	if s != nil {
		h.mu.status.RetainedBytes, h.mu.status.WALStatus = s.Retained, s.WALStatus
	}
}

// noteSession notes that a stream has started.
func (h *shared) noteSession(s *session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	st := &h.mu.status
	st.Slot, st.System, st.Timeline, st.Version = s.slot, s.server.System, s.server.Timeline, s.catalogue.Version
	st.Sessions++
	st.State, st.Connected = following, true
}

// noteLost notes which tables can't be followed.
func (h *shared) noteLost(lost map[string]string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.mu.status.Lost = nil // those who have a status keep theirs
	for _, table := range slices.Sorted(maps.Keys(lost)) {
		h.mu.status.Lost = append(h.mu.status.Lost, Lost{table, lost[table]})
	}
}

// setState notes where the listener stands.
func (h *shared) setState(state string, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := &h.mu.status
	if err != nil {
		s.LastError, s.LastErrorAt = pgerror.Line(err), time.Now()
		s.Failures++
		h.mu.said = ""
	}
	s.State, s.Connected = state, state == following
}

// system is the identifier of the database cluster that was reached last.
func (h *shared) system() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.mu.status.System
}

// trouble notes an error beside the stream, which goes on, and logs it once
// until there is another one, or a session ends with an error.
func (h *shared) trouble(what string, err error) {
	line := pgerror.Line(err)
	h.mu.Lock()
	same := h.mu.said == line
	h.mu.said = line
	h.mu.status.LastError, h.mu.status.LastErrorAt = line, time.Now()
	h.mu.Unlock()
	if same {
		return
	}
	said := []any{"for", what, "error", line}
	if what == forRelay && h.cfg.Relay.Setting != "" {
		said = append(said, "setting", h.cfg.Relay.Setting)
	}
	h.log.Warn("a connection beside the stream failed", said...)
}

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

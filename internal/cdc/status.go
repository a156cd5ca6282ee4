package cdc

import (
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

// Status may be called from any goroutine.
func (l *Listener) Status() Status {
	l.mu.Lock()
	s := l.mu.status
	l.mu.Unlock()
	s.Epoch = l.guard.Epoch().String()
	s.Applied, s.Watermark = l.guard.Applied().String(), l.guard.Watermark().String()
	s.ReadAhead, s.ReadAheadTransactions = l.ahead.On(), l.ahead.Transactions()
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

// noteSlot notes what the watcher saw of the slot.
func (l *Listener) noteSlot(name string, s *catalogue.Slot) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.status.RetainedBytes, l.mu.status.WALStatus = -1, ""
	if s != nil {
		l.mu.status.RetainedBytes, l.mu.status.WALStatus = s.Retained, s.WALStatus
	}
}

// noteSession notes that a stream has started.
func (l *Listener) noteSession(s *session) {
	l.mu.Lock()
	defer l.mu.Unlock()
	st := &l.mu.status
	st.Slot, st.System, st.Timeline, st.Version = s.slot, s.server.System, s.server.Timeline, s.catalogue.Version
	st.Sessions++
	st.State, st.Connected = following, true
}

// system is the identifier of the database cluster that was reached last.
func (l *Listener) system() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.status.System
}

// trouble notes an error beside the stream, which goes on, and logs it unless
// it is the one that was noted last.
func (l *Listener) trouble(what string, err error) {
	line := pgerror.Line(err)
	l.mu.Lock()
	same := l.mu.status.LastError == line
	l.mu.status.LastError, l.mu.status.LastErrorAt = line, time.Now()
	l.mu.Unlock()
	if same {
		return
	}
	said := []any{"for", what, "error", line}
	if what == forRelay && l.cfg.Relay.Setting != "" {
		said = append(said, "setting", l.cfg.Relay.Setting)
	}
	l.log.Warn("a connection beside the stream failed", said...)
}

// forRelay is what a connection to Redis is for. Where its URL is set is logged
// with it, and never the URL, which may have a password.
const forRelay = "relay"

package catalogue

import (
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"walpurge/internal/cdc/primary"
	"walpurge/internal/identifier"
)

// DefaultReadAhead is how long the stream may be behind before the log is read ahead of it.
const DefaultReadAhead = 100 * time.Millisecond

// Scope says which database is followed, and what of it.
type Scope struct {
	URL         string // of the primary itself, not of a pooler
	Slot        string // name of the replication slot; of a temporary one the beginning of its name
	Publication string // its name

	// Temporary asks for a slot that lives as long as its connection. Every
	// connection then starts a new epoch.
	Temporary bool

	Watches []Watch

	// ReadAhead is how long the stream may be behind before the log is read ahead
	// of it, see DefaultReadAhead; 0: it never is. Negative: it always is.
	ReadAhead time.Duration

	// Dial makes the connections to the server. nil: by TCP or a Unix socket.
	Dial pgconn.DialFunc

	Logger *slog.Logger // nil: nothing is logged

	// Waiting is told in words which session or transaction of the server Setup or
	// Inspect waits for. It must not block. nil: it is logged.
	Waiting func(string)

	locks lockPatience // zero: lockTries and lockPause
}

// Watch is a table and the columns that are spoken of.
type Watch struct {
	Table      string   // as identifier.Table writes it: public.listings
	Columns    []string // in any condition or column list
	Conditions []string // those used in conditions; their old values are wanted
	Folded     []string // those under lower() or upper()
}

// Primary says how the primary is reached.
func (s *Scope) Primary() primary.Options { return primary.Options{URL: s.URL, Dial: s.Dial} }

// names are the table's. A name without a schema is in public, and what is none
// has no table.
func (w *Watch) names() (schema, table string) {
	t, _ := identifier.ParseTableLoosely(w.Table)
	return t.Schema, t.Name
}

// qualified is the table's name as [Catalogue] has it.
func (w *Watch) qualified() string {
	t, _ := identifier.ParseTableLoosely(w.Table)
	return t.String()
}

// slotName is what PostgreSQL allows: https://www.postgresql.org/docs/current/warm-standby.html#STREAMING-REPLICATION-SLOTS-MANIPULATION.
var slotName = regexp.MustCompile(`^[a-z0-9_]{1,63}$`)

// check looks at what can be seen without a server. Names that get past it
// are safe to put into a replication command.
func (s *Scope) check() error {
	if !slotName.MatchString(s.Slot) {
		return fmt.Errorf("slot name %q: use up to 63 lower-case letters, digits and underscores", s.Slot)
	}
	if s.Publication == "" || len(s.Publication) > 63 || strings.ContainsRune(s.Publication, 0) {
		return fmt.Errorf("publication name %q: use 1 to 63 bytes", s.Publication)
	}
	if len(s.Watches) == 0 {
		return errors.New("no table is watched: declare one in a route's depends_on")
	}
	for i := range s.Watches {
		if _, table := s.Watches[i].names(); table == "" {
			return fmt.Errorf("table name %q: use NAME or SCHEMA.NAME, with a part that holds a dot in double quotes", s.Watches[i].Table)
		}
	}
	return nil
}

// Log is where it is logged; never nil.
func (s *Scope) Log() *slog.Logger {
	if s.Logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return s.Logger
}

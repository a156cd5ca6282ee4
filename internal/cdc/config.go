package cdc

import (
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"walpurge/internal/cdc/primary"
	"walpurge/internal/coherence"
	"walpurge/internal/identifier"
	"walpurge/internal/relay"
)

// Config says which database to listen to and what to look at.
type Config struct {
	URL         string // of the primary itself, not of a pooler
	Slot        string // name of the replication slot; of a temporary one the beginning of its name
	Publication string

	// Temporary asks for a slot that lives as long as its connection. Every
	// connection then starts a new epoch.
	Temporary bool

	// Relay tells the processes that don't hold the slot what the one that
	// does has received. nil: there is only one process.
	Relay *relay.Config

	BulkRows int // a transaction with more rows counts as a change of whole tables
	Watches  []Watch

	// MaxLag is how old a proof of freshness may be. It is renewed every tenth
	// of it, within 5 ms and 50 ms; on a follower, of which there may be many,
	// within 5 ms and a second.
	MaxLag time.Duration

	// ReadAhead is how long the stream may be behind before the log is read ahead
	// of it, see DefaultReadAhead; 0: it never is. Negative: it always is.
	ReadAhead time.Duration

	// Dial makes the connections to the server. nil: by TCP or a Unix socket.
	Dial pgconn.DialFunc

	// Chance is how much of a pause between attempts is left to chance: less
	// than what it is given. nil: at random.
	Chance func(time.Duration) time.Duration

	Now    func() coherence.Nanos // the process's monotonic clock
	Logger *slog.Logger           // nil: nothing is logged

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

// primary says how the primary is reached.
func (c *Config) primary() primary.Options { return primary.Options{URL: c.URL, Dial: c.Dial} }

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
func (c *Config) check() error {
	if !slotName.MatchString(c.Slot) {
		return fmt.Errorf("slot name %q: use up to 63 lower-case letters, digits and underscores", c.Slot)
	}
	if c.Publication == "" || len(c.Publication) > 63 || strings.ContainsRune(c.Publication, 0) {
		return fmt.Errorf("publication name %q: use 1 to 63 bytes", c.Publication)
	}
	if len(c.Watches) == 0 {
		return errors.New("no table is watched: declare one in a route's depends_on")
	}
	for i := range c.Watches {
		if _, table := c.Watches[i].names(); table == "" {
			return fmt.Errorf("table name %q: use NAME or SCHEMA.NAME, with a part that holds a dot in double quotes", c.Watches[i].Table)
		}
	}
	return nil
}

// probeInterval is how often the proof of freshness is renewed.
func probeInterval(lag time.Duration) time.Duration {
	return min(followerInterval(lag), 50*time.Millisecond)
}

// followerInterval is the same on a follower.
func followerInterval(lag time.Duration) time.Duration {
	return min(max(lag/10, 5*time.Millisecond), time.Second)
}

// lookInterval is how often the catalogue is looked at: a hit needs a look that
// is as young as the proof of the position. followerLookInterval is the same on
// a follower.
func lookInterval(lag time.Duration) time.Duration {
	return min(max(lag/10, 5*time.Millisecond), 250*time.Millisecond)
}

func followerLookInterval(lag time.Duration) time.Duration {
	return min(max(lag/4, 5*time.Millisecond), time.Second)
}

func (c *Config) logger() *slog.Logger {
	if c.Logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return c.Logger
}

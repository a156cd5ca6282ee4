package cdc

import (
	"time"

	"walpurge/internal/cdc/catalogue"
	"walpurge/internal/coherence"
	"walpurge/internal/relay"
)

// Config says which database to listen to, what to look at, and how.
type Config struct {
	catalogue.Scope

	// Relay tells the processes that don't hold the slot what the one that
	// does has received. nil: there is only one process.
	Relay *relay.Config

	BulkRows int // a transaction with more rows counts as a change of whole tables

	// MaxLag is how old a proof of freshness may be. It is renewed every tenth
	// of it, within 5 ms and 50 ms; on a follower, of which there may be many,
	// within 5 ms and a second.
	MaxLag time.Duration

	// Chance is how much of a pause between attempts is left to chance: less
	// than what it is given. nil: at random.
	Chance func(time.Duration) time.Duration

	Now func() coherence.Nanos // the process's monotonic clock
}

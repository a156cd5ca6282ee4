package relay

import (
	"log/slog"
	"time"

	"walpurge/internal/coherence"
)

// Term is from taking the slot to losing it.
type Term struct {
	Stream    *Stream
	After     End           // where the stream ends
	Announced *Announcement // of the one that leads
	Nonce     uint64        // of this term alone
	MaxLag    time.Duration // pauses between two entries, for the sake of Redis, are a part of it at most

	// Watermark is the position up to which everything is visible.
	Watermark func() coherence.LSN
	// Wrote is called when an entry is in the stream, which ends with it.
	Wrote func(*Entry, End)
	// Trouble is called when Redis doesn't take an entry, which is tried again.
	Trouble func(error)

	Chance func(time.Duration) time.Duration // see retry.Backoff
	Logger *slog.Logger
}

// End is where a stream ends.
type End struct {
	Seq       uint64
	Sum       uint64 // checksum of the last entry
	Epoch     coherence.Epoch
	Applied   coherence.LSN
	Watermark coherence.LSN
}

// BrokenError says that others can't continue the history, with the reason for
// the epoch that has to begin.
type BrokenError struct {
	Reason string
	Err    error
}

func (e *BrokenError) Error() string { return e.Err.Error() }

// Unwrap is the error without the reason.
func (e *BrokenError) Unwrap() error { return e.Err }

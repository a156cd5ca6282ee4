package relay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/cespare/xxhash/v2"
)

// ErrFenced says that somebody else has written the entry that was ours to
// write: another process leads.
var ErrFenced = errors.New("another process has written to the relay: it leads now")

// errLost says that Redis doesn't have what it had.
var errLost = errors.New("the relay has lost entries: Redis has restarted, failed over or been emptied")

// ErrTaken says that the stream has, or has had, an entry of this number or a
// higher one.
var ErrTaken = errors.New("the entry's number is not above the last one")

// Message is one entry as it lies in the stream.
type Message struct {
	Seq  uint64
	Blob []byte // nil: it is none of ours
}

// Sum is the checksum that the next entry has of this one.
func (m *Message) Sum() uint64 { return xxhash.Sum64(m.Blob) }

// Stream is the relay's stream: what entries mean to each other. Each of its
// methods takes a second at most.
type Stream struct {
	Server Server
	Key    string // in Redis

	maxEntries int
	maxBytes   int64
	patience   time.Duration
	kept       kept
}

// Server holds the stream. It is Redis; each method is one round trip.
type Server interface {
	// Append adds an entry after all others, or fails with ErrTaken. It tells
	// whether the entry Look is there; 0 asks for none.
	Append(ctx context.Context, a *Addition) (found bool, err error)
	// After returns the oldest entries above seq, at most so many. While there is
	// none it waits for at most block; 0 doesn't wait.
	After(ctx context.Context, seq uint64, most int, block time.Duration) ([]Message, error)
	// UpTo returns the newest entry at or below seq; its sequence is 0 if there is
	// none.
	UpTo(ctx context.Context, seq uint64) (Message, error)
	// Highest is the highest sequence ever added, as far as the server remembers.
	Highest(ctx context.Context) (uint64, error)
	// Waiting is how many readers wait for something, of this stream or another.
	Waiting(ctx context.Context) (int, error)
	// Want says, for a while, that somebody wants entries at once; Wanted tells
	// whether it has been said.
	Want(ctx context.Context, life time.Duration) error
	Wanted(ctx context.Context) (bool, error)
	// Ask asks, for a while and under a number, for a look at the server; Asked
	// takes what has been asked, at most so many.
	Ask(ctx context.Context, id uint64, life time.Duration) error
	Asked(ctx context.Context, most int) ([]uint64, error)
}

// Addition is an entry to be added, and what goes with it.
type Addition struct {
	Message
	Trim uint64        // entries before it are dropped; 0: none
	Life time.Duration // the stream lives for so long from now on; 0: as before
	Look uint64        // an entry to look for; 0: none
}

// add appends an entry. A number that is not above the last one is
// refused, which is what fences a leader that doesn't know yet that it has
// been replaced: then the error is ErrFenced. An entry that is there already
// because its command was sent twice counts as added. With trim, entries
// before it are dropped; with renew, the stream lives for another day; with
// follows, the error is errLost, though the entry has been added, if the one
// before it is no longer there.
func (s *Stream) add(ctx context.Context, m Message, trim uint64, renew, follows bool) error {
	ctx, cancel := context.WithTimeout(ctx, Wait)
	defer cancel()
	a := &Addition{Message: m, Trim: trim}
	if renew {
		a.Life = life
	}
	if follows {
		a.Look = m.Seq - 1
	}
	found, err := s.Server.Append(ctx, a)
	switch {
	case err == nil && follows && !found:
		return errLost
	case err == nil:
		return nil
	case !errors.Is(err, ErrTaken):
		return fmt.Errorf("write to the relay: %w", err)
	}
	there, err := s.Server.UpTo(ctx, m.Seq)
	if err != nil {
		return fmt.Errorf("read the relay: %w", err)
	}
	if there.Seq == m.Seq && there.Blob != nil && bytes.Equal(there.Blob, m.Blob) {
		return nil
	}
	return ErrFenced
}

// Read returns what comes after the entry seq. It waits for at most block; 0
// doesn't wait.
func (s *Stream) Read(ctx context.Context, seq uint64, block time.Duration) ([]Message, error) {
	ctx, cancel := context.WithTimeout(ctx, Wait+block)
	defer cancel()
	entries, err := s.Server.After(ctx, seq, page, block)
	if err != nil {
		return nil, fmt.Errorf("read the relay: %w", err)
	}
	return entries, nil
}

// Last returns the newest entry; its sequence is 0 if there is none.
func (s *Stream) Last(ctx context.Context) (Message, error) {
	ctx, cancel := context.WithTimeout(ctx, Wait)
	defer cancel()
	newest, err := s.Server.UpTo(ctx, math.MaxUint64)
	if err != nil {
		return Message{}, fmt.Errorf("read the relay: %w", err)
	}
	return newest, nil
}

// Top is the highest sequence that the stream has ever had, as far as Redis
// remembers: no entry may be added at or below it.
func (s *Stream) Top(ctx context.Context) (uint64, error) {
	newest, err := s.Last(ctx)
	if err != nil || newest.Seq != 0 {
		return newest.Seq, err
	}
	ctx, cancel := context.WithTimeout(ctx, Wait)
	defer cancel()
	highest, err := s.Server.Highest(ctx)
	if err != nil {
		return 0, fmt.Errorf("read the relay: %w", err)
	}
	return highest, nil
}

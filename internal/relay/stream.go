package cdc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"time"
)

// errFenced says that somebody else has written the entry that was ours to
// write: another process leads.
var errFenced = errors.New("another process has written to the relay: it leads now")

// errLost says that Redis doesn't have what it had.
var errLost = errors.New("the relay has lost entries: Redis has restarted, failed over or been emptied")

// errTaken says that the stream has, or has had, an entry of this number or a
// higher one.
var errTaken = errors.New("the entry's number is not above the last one")

// streamed is one entry as it lies in the stream.
type streamed struct {
	seq  uint64
	blob []byte // nil: it is none of ours
}

// stream is the relay's stream: what entries mean to each other. Each of its
// methods takes a second at most.
type stream struct{ streamServer }

// streamServer holds the stream. It is Redis; each method is one round trip.
type streamServer interface {
	// append adds an entry after all others, or fails with errTaken. It tells
	// whether the entry look is there; 0 asks for none.
	append(ctx context.Context, a *addition) (found bool, err error)
	// after returns the oldest entries above seq. While there is none it waits
	// for at most block; 0 doesn't wait.
	after(ctx context.Context, seq uint64, block time.Duration) ([]streamed, error)
	// upTo returns the newest entry at or below seq; its sequence is 0 if there is
	// none.
	upTo(ctx context.Context, seq uint64) (streamed, error)
	// highest is the highest sequence ever added, as far as the server remembers.
	highest(ctx context.Context) (uint64, error)
	// waiting is how many readers wait for something, of this stream or another.
	waiting(ctx context.Context) (int, error)
	// want says, for a while, that somebody wants entries at once; wanted tells
	// whether it has been said.
	want(ctx context.Context, life time.Duration) error
	wanted(ctx context.Context) (bool, error)
	// ask asks, for a while and under a number, for a look at the server; asked
	// takes what has been asked.
	ask(ctx context.Context, id uint64) error
	asked(ctx context.Context) ([]uint64, error)
}

// addition is an entry to be added, and what goes with it.
type addition struct {
	seq   uint64
	blob  []byte
	trim  uint64 // entries before it are dropped; 0: none
	renew bool   // the stream lives for another day
	look  uint64 // an entry to look for; 0: none
}

// add appends the entry seq. A number that is not above the last one is
// refused, which is what fences a leader that doesn't know yet that it has
// been replaced: then the error is errFenced. An entry that is there already
// because its command was sent twice counts as added. With trim, entries
// before it are dropped; with renew, the stream lives for another day; with
// follows, the error is errLost, though the entry has been added, if the one
// before it is no longer there.
func (s *stream) add(ctx context.Context, seq uint64, blob []byte, trim uint64, renew, follows bool) error {
	ctx, cancel := context.WithTimeout(ctx, relayWait)
	defer cancel()
	a := &addition{seq: seq, blob: blob, trim: trim, renew: renew}
	if follows {
		a.look = seq - 1
	}
	found, err := s.append(ctx, a)
	switch {
	case err == nil && follows && !found:
		return errLost
	case err == nil:
		return nil
	case !errors.Is(err, errTaken):
		return fmt.Errorf("write to the relay: %w", err)
	}
	there, err := s.upTo(ctx, seq)
	if err != nil {
		return fmt.Errorf("read the relay: %w", err)
	}
	if there.seq == seq && there.blob != nil && bytes.Equal(there.blob, blob) {
		return nil
	}
	return errFenced
}

// read returns what comes after the entry seq. It waits for at most block; 0
// doesn't wait.
func (s *stream) read(ctx context.Context, seq uint64, block time.Duration) ([]streamed, error) {
	ctx, cancel := context.WithTimeout(ctx, relayWait+block)
	defer cancel()
	entries, err := s.after(ctx, seq, block)
	if err != nil {
		return nil, fmt.Errorf("read the relay: %w", err)
	}
	return entries, nil
}

// last returns the newest entry; its sequence is 0 if there is none.
func (s *stream) last(ctx context.Context) (streamed, error) {
	ctx, cancel := context.WithTimeout(ctx, relayWait)
	defer cancel()
	newest, err := s.upTo(ctx, math.MaxUint64)
	if err != nil {
		return streamed{}, fmt.Errorf("read the relay: %w", err)
	}
	return newest, nil
}

// top is the highest sequence that the stream has ever had, as far as Redis
// remembers: no entry may be added at or below it.
func (s *stream) top(ctx context.Context) (uint64, error) {
	newest, err := s.last(ctx)
	if err != nil || newest.seq != 0 {
		return newest.seq, err
	}
	ctx, cancel := context.WithTimeout(ctx, relayWait)
	defer cancel()
	highest, err := s.highest(ctx)
	if err != nil {
		return 0, fmt.Errorf("read the relay: %w", err)
	}
	return highest, nil
}

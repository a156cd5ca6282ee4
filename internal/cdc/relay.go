package cdc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"walpurge/internal/redisclient"
)

// Relay is the Redis stream through which the process that holds the slot,
// the leader, tells the others what it has received. It is one key, so a
// cluster needs no hash tag for it and no command spans keys.
type Relay struct {
	// Client has connections that nobody else waits for: some of them block.
	Client    redis.UniversalClient
	Namespace string // the key begins with it

	MaxEntries int           // that the stream keeps; 0: 100,000
	MaxBytes   int64         // of what it keeps; 0: 64 MiB
	Patience   time.Duration // how long WAL is kept for a Redis that doesn't take entries; 0: 10 s
}

// key is the stream's. Services that share a Redis, and perhaps never thought
// of a namespace, seldom share the names of database and slot as well.
func (r *Relay) key(database, slot string) string {
	return r.Namespace + ":relay:" + database + ":" + slot
}

// RelayClient makes the client of a Relay from a URL, of which package
// redisclient knows the forms. It tries nothing twice on its own, save in a
// cluster: what was sent and not answered may have been done, and the relay
// finds that out.
func RelayClient(url string) (redis.UniversalClient, error) {
	return redisclient.New(url, redisclient.Limits{Wait: relayWait, PoolSize: 4})
}

// Bounds of the relay.
const (
	relayEntries   = 100_000
	relayBytes     = 64 << 20
	relayPatience  = 10 * time.Second
	relayLife      = 24 * time.Hour         // of the stream without a leader
	relayWait      = time.Second            // for one command
	relayBlock     = 250 * time.Millisecond // for an entry
	relayPage      = 512                    // entries read at once
	keyframeEvery  = 128                    // entries
	heartbeatEvery = 10 * time.Second       // a keyframe when nothing else happens
	markPause      = 5 * time.Millisecond   // between two entries without a transaction
	entryBytes     = 256 << 10              // an entry takes no further transaction beyond it
	lookBack       = 16 << 10               // an entry up to this size is looked for when the next is written
	bulkyBytes     = 4 << 20                // a larger transaction is relayed as whole tables
)

// errFenced says that somebody else has written the entry that was ours to
// write: another process leads.
var errFenced = errors.New("another process has written to the relay: it leads now")

// errLost says that Redis doesn't have what it had.
var errLost = errors.New("the relay has lost entries: Redis has restarted, failed over or been emptied")

// stream is the Redis stream.
type stream struct {
	client redis.UniversalClient
	key    string
}

// field is the only field of an entry.
const streamField = "e"

// streamed is one entry as it lies in the stream. Entries have the IDs SEQ-0.
type streamed struct {
	seq  uint64
	blob []byte // nil: it is none of ours
}

func streamID(seq uint64) string { return strconv.FormatUint(seq, 10) + "-0" }

func readMessage(m *redis.XMessage) (streamed, error) {
	number, rest, _ := strings.Cut(m.ID, "-")
	seq, err := strconv.ParseUint(number, 10, 64)
	if err != nil {
		return streamed{}, fmt.Errorf("read the relay: entry ID %q: %w", m.ID, err)
	}
	blob, ok := m.Values[streamField].(string)
	if !ok || rest != "0" {
		return streamed{seq: seq}, nil
	}
	return streamed{seq, []byte(blob)}, nil
}

// add appends the entry seq. An ID that is not above the last one is refused
// by Redis, which is what fences a leader that doesn't know yet that it has
// been replaced: then the error is errFenced. An entry that is there already
// because its command was sent twice counts as added. With trim, entries
// before it are dropped; with renew, the stream lives for another day; with
// follows, the error is errLost, though the entry has been added, if the one
// before it is no longer there.
func (s *stream) add(ctx context.Context, seq uint64, blob []byte, trim uint64, renew, follows bool) error {
	ctx, cancel := context.WithTimeout(ctx, relayWait)
	defer cancel()
	args := &redis.XAddArgs{Stream: s.key, ID: streamID(seq), Values: []any{streamField, blob}}
	if trim > 0 {
		args.MinID = streamID(trim)
	}
	var added *redis.StringCmd
	var before *redis.XMessageSliceCmd
	_, _ = s.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		added = p.XAdd(ctx, args)
		if follows {
			before = p.XRange(ctx, s.key, streamID(seq-1), streamID(seq-1))
		}
		if renew {
			p.Expire(ctx, s.key, relayLife)
		}
		return nil
	})
	err := added.Err()
	if err == nil {
		if follows && before.Err() == nil && len(before.Val()) == 0 {
			return errLost
		}
		return nil
	}
	if !strings.Contains(err.Error(), "equal or smaller") {
		return fmt.Errorf("write to the relay: %w", err)
	}
	there, err := s.client.XRange(ctx, s.key, streamID(seq), streamID(seq)).Result()
	if err != nil {
		return fmt.Errorf("read the relay: %w", err)
	}
	if len(there) == 1 {
		if found, err := readMessage(&there[0]); err == nil && bytes.Equal(found.blob, blob) {
			return nil
		}
	}
	return errFenced
}

// read returns what comes after the entry seq. It waits for at most block; 0
// doesn't wait.
func (s *stream) read(ctx context.Context, seq uint64, block time.Duration) ([]streamed, error) {
	if block == 0 {
		block = -1
	}
	ctx, cancel := context.WithTimeout(ctx, relayWait+max(block, 0))
	defer cancel()
	found, err := s.client.XRead(ctx, &redis.XReadArgs{
		Streams: []string{s.key, strconv.FormatUint(seq, 10)}, Count: relayPage, Block: block,
	}).Result()
	if errors.Is(err, redis.Nil) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the relay: %w", err)
	}
	var entries []streamed
	for i := range found {
		for j := range found[i].Messages {
			e, err := readMessage(&found[i].Messages[j])
			if err != nil {
				return nil, err
			}
			entries = append(entries, e)
		}
	}
	return entries, nil
}

// last returns the newest entry; its sequence is 0 if there is none.
func (s *stream) last(ctx context.Context) (streamed, error) {
	ctx, cancel := context.WithTimeout(ctx, relayWait)
	defer cancel()
	found, err := s.client.XRevRangeN(ctx, s.key, "+", "-", 1).Result()
	if err != nil {
		return streamed{}, fmt.Errorf("read the relay: %w", err)
	}
	if len(found) == 0 {
		return streamed{}, nil
	}
	return readMessage(&found[0])
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
	info, err := s.client.XInfoStream(ctx, s.key).Result()
	if err != nil {
		if strings.Contains(err.Error(), "no such key") {
			return 0, nil
		}
		return 0, fmt.Errorf("read the relay: %w", err)
	}
	number, _, _ := strings.Cut(info.LastGeneratedID, "-")
	return strconv.ParseUint(number, 10, 64)
}

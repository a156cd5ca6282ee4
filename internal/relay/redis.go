package cdc

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// redisStream is the stream in Redis: one key, whose entries have the IDs
// SEQ-0.
type redisStream struct {
	client redis.UniversalClient
	key    string
}

// streamField is the only field of an entry.
const streamField = "e"

func streamID(seq uint64) string { return strconv.FormatUint(seq, 10) + "-0" }

func readMessage(m *redis.XMessage) (streamed, error) {
	number, rest, _ := strings.Cut(m.ID, "-")
	seq, err := strconv.ParseUint(number, 10, 64)
	if err != nil {
		return streamed{}, fmt.Errorf("entry ID %q: %w", m.ID, err)
	}
	blob, ok := m.Values[streamField].(string)
	if !ok || rest != "0" {
		return streamed{seq: seq}, nil
	}
	return streamed{seq, []byte(blob)}, nil
}

// append implements streamServer by XADD, and XRANGE and EXPIRE beside it.
func (s redisStream) append(ctx context.Context, a *addition) (found bool, err error) {
	args := &redis.XAddArgs{Stream: s.key, ID: streamID(a.seq), Values: []any{streamField, a.blob}}
	if a.trim > 0 {
		args.MinID = streamID(a.trim)
	}
	var added *redis.StringCmd
	var looked *redis.XMessageSliceCmd
	_, _ = s.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		added = p.XAdd(ctx, args)
		if a.look != 0 {
			looked = p.XRange(ctx, s.key, streamID(a.look), streamID(a.look))
		}
		if a.renew {
			p.Expire(ctx, s.key, relayLife)
		}
		return nil
	})
	if err := added.Err(); err != nil {
		if strings.Contains(err.Error(), "equal or smaller") {
			return false, errTaken
		}
		return false, err
	}
	// The entry has been added. A look that failed says nothing.
	return looked != nil && (looked.Err() != nil || len(looked.Val()) > 0), nil
}

// after implements streamServer by XREAD.
func (s redisStream) after(ctx context.Context, seq uint64, block time.Duration) ([]streamed, error) {
	if block == 0 {
		block = -1
	}
	found, err := s.client.XRead(ctx, &redis.XReadArgs{
		Streams: []string{s.key, strconv.FormatUint(seq, 10)}, Count: relayPage, Block: block,
	}).Result()
	if errors.Is(err, redis.Nil) {
		return nil, nil
	}
	if err != nil {
		return nil, err
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

// upTo implements streamServer by XREVRANGE.
func (s redisStream) upTo(ctx context.Context, seq uint64) (streamed, error) {
	found, err := s.client.XRevRangeN(ctx, s.key, strconv.FormatUint(seq, 10), "-", 1).Result()
	if err != nil || len(found) == 0 {
		return streamed{}, err
	}
	return readMessage(&found[0])
}

// highest implements streamServer by XINFO STREAM.
func (s redisStream) highest(ctx context.Context) (uint64, error) {
	info, err := s.client.XInfoStream(ctx, s.key).Result()
	if err != nil {
		if strings.Contains(err.Error(), "no such key") {
			return 0, nil
		}
		return 0, err
	}
	number, _, _ := strings.Cut(info.LastGeneratedID, "-")
	return strconv.ParseUint(number, 10, 64)
}

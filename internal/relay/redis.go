package relay

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// redisServer is the stream in Redis: one key, whose entries have the IDs
// SEQ-0.
type redisServer struct {
	client redis.UniversalClient
	key    string
}

// streamField is the only field of an entry.
const streamField = "e"

func streamID(seq uint64) string { return strconv.FormatUint(seq, 10) + "-0" }

func readMessage(m *redis.XMessage) (Message, error) {
	number, rest, _ := strings.Cut(m.ID, "-")
	seq, err := strconv.ParseUint(number, 10, 64)
	if err != nil {
		return Message{}, fmt.Errorf("entry ID %q: %w", m.ID, err)
	}
	blob, ok := m.Values[streamField].(string)
	if !ok || rest != "0" {
		return Message{Seq: seq}, nil
	}
	return Message{seq, []byte(blob)}, nil
}

// Append implements Server by XADD, and XRANGE and EXPIRE beside it.
func (s redisServer) Append(ctx context.Context, a *Addition) (found bool, err error) {
	args := &redis.XAddArgs{Stream: s.key, ID: streamID(a.Seq), Values: []any{streamField, a.Blob}}
	if a.Trim > 0 {
		args.MinID = streamID(a.Trim)
	}
	var added *redis.StringCmd
	var looked *redis.XMessageSliceCmd
	_, _ = s.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		added = p.XAdd(ctx, args)
		if a.Look != 0 {
			looked = p.XRange(ctx, s.key, streamID(a.Look), streamID(a.Look))
		}
		if a.Life > 0 {
			p.Expire(ctx, s.key, a.Life)
		}
		return nil
	})
	if err := added.Err(); err != nil {
		if strings.Contains(err.Error(), "equal or smaller") {
			return false, ErrTaken
		}
		return false, err
	}
	// The entry has been added. A look that failed says nothing.
	return looked != nil && (looked.Err() != nil || len(looked.Val()) > 0), nil
}

// After implements Server by XREAD.
func (s redisServer) After(ctx context.Context, seq uint64, most int, block time.Duration) ([]Message, error) {
	if block == 0 {
		block = -1
	}
	found, err := s.client.XRead(ctx, &redis.XReadArgs{
		Streams: []string{s.key, strconv.FormatUint(seq, 10)}, Count: int64(most), Block: block,
	}).Result()
	if errors.Is(err, redis.Nil) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var entries []Message
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

// UpTo implements Server by XREVRANGE.
func (s redisServer) UpTo(ctx context.Context, seq uint64) (Message, error) {
	found, err := s.client.XRevRangeN(ctx, s.key, strconv.FormatUint(seq, 10), "-", 1).Result()
	if err != nil || len(found) == 0 {
		return Message{}, err
	}
	return readMessage(&found[0])
}

// Highest implements Server by XINFO STREAM.
func (s redisServer) Highest(ctx context.Context) (uint64, error) {
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

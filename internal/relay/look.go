package relay

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// A process that finds the slot free on what looks like an older copy of the
// server can't tell whether the server was set back, which ends the history
// for all, or whether only its own connections lead astray (a name that
// resolves to several servers, a restored backup beside the original). Who
// leads can. So it asks in Redis under a key beside the stream. The leader
// connects anew, which resolves the name again, and looks at what answers. If
// that is still the server of its session and has not gone back, it says so
// in an entry, and who has asked leaves the slot alone. If it is not, the
// leader's session ends as it would have without being asked. Nobody answers
// if nobody leads: then the history ends.
//
// An answer proves nothing: a follower's proof (R6) comes only from the running
// server that the leader has announced. And it is to those who had asked
// before the look began, each by a number of its own, so an answer that is
// late, or given to somebody else, says nothing.
const (
	lookLife = 10 * time.Second // of a request
	lookMost = 64               // requests that are answered together
)

func (s redisServer) looksKey() string { return s.key + ":looks" }

// Ask implements Server by SADD: two that ask don't hide each other.
func (s redisServer) Ask(ctx context.Context, id uint64, life time.Duration) error {
	_, err := s.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		p.SAdd(ctx, s.looksKey(), strconv.FormatUint(id, 16))
		p.Expire(ctx, s.looksKey(), life)
		return nil
	})
	return err
}

// Asked implements Server by SPOP.
func (s redisServer) Asked(ctx context.Context, most int) ([]uint64, error) {
	found, err := s.client.SPopN(ctx, s.looksKey(), int64(most)).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return nil, err
	}
	var ids []uint64
	for _, text := range found {
		if id, err := strconv.ParseUint(text, 16, 64); err == nil {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// Ask asks whoever leads, under a number of one's own, to look at the server.
// Redis may lose it, so it is asked again until an entry has the answer.
func (s *Stream) Ask(ctx context.Context, id uint64) error {
	ctx, cancel := context.WithTimeout(ctx, Wait)
	defer cancel()
	return s.Server.Ask(ctx, id, lookLife)
}

// inbox is the numbers of requests on their way from one goroutine to another.
type inbox struct {
	mu  sync.Mutex
	ids []uint64
}

func (i *inbox) put(ids []uint64) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.ids = append(i.ids, ids...)
}

// take removes so many at most.
func (i *inbox) take(most int) []uint64 {
	i.mu.Lock()
	defer i.mu.Unlock()
	n := min(len(i.ids), most)
	ids := i.ids[:n:n]
	i.ids = i.ids[n:]
	return ids
}

// listen takes what others have asked since the last time. Only the goroutine
// that writes calls it.
func (w *Writer) listen(ctx context.Context) {
	within, cancel := context.WithTimeout(ctx, Wait)
	defer cancel()
	ids, err := w.term.Stream.Server.Asked(within, lookMost)
	if err != nil || len(ids) == 0 {
		return
	}
	w.requests.put(ids)
	select {
	case w.asked <- struct{}{}:
	default:
	}
}

// Asked wakes whoever takes requests.
func (w *Writer) Asked() <-chan struct{} { return w.asked }

// Requests takes who has asked so far. What they are answered must come from
// a look that begins afterwards.
func (w *Writer) Requests() []uint64 { return w.requests.take(lookMost) }

// Answer has the next entry say that the history goes on.
func (w *Writer) Answer(ids []uint64) {
	w.answers.put(ids)
	w.poke()
}

package cdc

import (
	"context"
	"errors"
	"slices"
	"strconv"
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
	lookPatience = 5 * time.Second  // with the one that leads
	lookLife     = 10 * time.Second // of a request
	lookMost     = 64               // requests that are answered together
)

func (s redisStream) looksKey() string { return s.key + ":looks" }

// ask implements streamServer by SADD: two that ask don't hide each other.
func (s redisStream) ask(ctx context.Context, id uint64) error {
	_, err := s.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		p.SAdd(ctx, s.looksKey(), strconv.FormatUint(id, 16))
		p.Expire(ctx, s.looksKey(), lookLife)
		return nil
	})
	return err
}

// asked implements streamServer by SPOP.
func (s redisStream) asked(ctx context.Context) ([]uint64, error) {
	found, err := s.client.SPopN(ctx, s.looksKey(), lookMost).Result()
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

// request begins a request and returns its number.
func (f *follower) request() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.request, f.mu.answered = random(), false
	return f.mu.request
}

// hear takes the answers of an entry. REQUIRES: f.mu held.
func (f *follower) hear(e *entry) {
	if f.mu.request != 0 && slices.Contains(e.answered, f.mu.request) {
		f.mu.request, f.mu.answered = 0, true
		f.wake()
	}
}

// ask asks who leads to look at the server, and tells whether somebody has
// answered that the history goes on.
func (f *follower) ask(ctx context.Context) bool {
	id := f.request()
	over := time.NewTimer(lookPatience)
	defer over.Stop()
	again := time.NewTicker(relayWait) // Redis may lose a request, or a leader that ends
	defer again.Stop()
	for {
		within, cancel := context.WithTimeout(ctx, relayWait)
		if err := f.stream.ask(within, id); err != nil && ctx.Err() == nil {
			f.l.trouble("relay", err)
		}
		cancel()
		for asked := true; asked; {
			f.mu.Lock()
			answered, changed := f.mu.answered, f.mu.changed
			f.mu.Unlock()
			if answered {
				return true
			}
			select {
			case <-ctx.Done():
				return false
			case <-over.C:
				return false
			case <-changed:
			case <-again.C:
				asked = false
			}
		}
	}
}

// listen takes what others have asked since the last time. Only the goroutine
// that writes calls it.
func (w *relayWriter) listen(ctx context.Context) {
	within, cancel := context.WithTimeout(ctx, relayWait)
	defer cancel()
	ids, err := w.f.stream.asked(within)
	if err != nil || len(ids) == 0 {
		return
	}
	w.mu.Lock()
	w.mu.requests = append(w.mu.requests, ids...)
	w.mu.Unlock()
	select {
	case w.asked <- struct{}{}:
	default:
	}
}

// requests takes who has asked so far. What they are answered must come from
// a look that begins afterwards.
func (w *relayWriter) requests() []uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	ids := w.mu.requests[:min(len(w.mu.requests), lookMost)]
	w.mu.requests = w.mu.requests[len(ids):]
	return ids
}

// answer has the next entry say that the history goes on.
func (w *relayWriter) answer(ids []uint64) {
	w.mu.Lock()
	w.mu.answers = append(w.mu.answers, ids...)
	w.mu.Unlock()
	w.poke()
}

// answers takes the answers for an entry.
func (w *relayWriter) answers() []uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	ids := w.mu.answers
	w.mu.answers = nil
	return ids
}

// lookWhenAsked looks at the server whenever others have asked for it.
func (s *session) lookWhenAsked(ctx context.Context) error {
	w := s.l.writer
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-w.asked:
		}
		for ids := w.requests(); len(ids) > 0; ids = w.requests() {
			err := s.lookAnew(ctx)
			switch {
			case ctx.Err() != nil:
				return nil
			case endsSession(err):
				return err
			case err != nil:
				s.l.trouble("a look at the server", err) // no answer: they ask again
			default:
				w.answer(ids)
			}
		}
	}
}

// lookAnew makes sure that new connections lead to the server of the session,
// and that its log has not gone back.
func (s *session) lookAnew(ctx context.Context) error {
	side := newSide(s.l, s.server)
	defer side.close()
	q := question{before: s.l.guard.Applied(), asked: s.l.cfg.Now()}
	lsn, err := flushPosition(ctx, side)
	if err != nil {
		return err
	}
	_, err = s.answered(q, lsn)
	return err
}

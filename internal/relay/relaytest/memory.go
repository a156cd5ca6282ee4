package cdc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"walpurge/internal/testbed"
)

// memoryStream is a stream as Redis holds it, without Redis.
type memoryStream struct {
	mu      sync.Mutex
	exists  bool
	entries []streamed
	last    uint64    // survives the entries
	expires time.Time // zero: never
	changed chan struct{}
	readers int       // that wait
	wish    time.Time // until when entries are wanted at once
	asks    []uint64
	asksTo  time.Time // when they are forgotten
}

func newMemoryStream() *memoryStream { return &memoryStream{changed: make(chan struct{})} }

// now ends the stream's life if it is over. REQUIRES: m.mu held.
func (m *memoryStream) now() {
	if !m.expires.IsZero() && !time.Now().Before(m.expires) {
		m.drop()
	}
}

// drop removes the key. REQUIRES: m.mu held.
func (m *memoryStream) drop() {
	m.exists, m.entries, m.last, m.expires = false, nil, 0, time.Time{}
}

// empty is FLUSHALL.
func (m *memoryStream) empty() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.drop()
	m.asks = nil
}

// trim is XTRIM MINID.
func (m *memoryStream) trim(before uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.cut(before)
}

func (m *memoryStream) cut(before uint64) {
	m.entries = slices.DeleteFunc(m.entries, func(s streamed) bool { return s.seq < before })
}

// copy is BGSAVE.
func (m *memoryStream) copy() *memoryStream {
	m.mu.Lock()
	defer m.mu.Unlock()
	return &memoryStream{exists: m.exists, entries: slices.Clone(m.entries), last: m.last, expires: m.expires}
}

// restore starts again from a copy.
func (m *memoryStream) restore(old *memoryStream) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.exists, m.entries, m.last, m.expires = old.exists, slices.Clone(old.entries), old.last, old.expires
}

func (m *memoryStream) waiting(context.Context) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.readers, nil
}

func (m *memoryStream) want(_ context.Context, life time.Duration) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.wish = time.Now().Add(life)
	return nil
}

func (m *memoryStream) wanted(context.Context) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return time.Now().Before(m.wish), nil
}

func (m *memoryStream) ask(_ context.Context, id uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !time.Now().Before(m.asksTo) {
		m.asks = nil
	}
	if !slices.Contains(m.asks, id) {
		m.asks = append(m.asks, id)
	}
	m.asksTo = time.Now().Add(lookLife)
	return nil
}

func (m *memoryStream) asked(context.Context) ([]uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !time.Now().Before(m.asksTo) {
		m.asks = nil
	}
	n := min(len(m.asks), lookMost)
	ids := slices.Clone(m.asks[:n])
	m.asks = m.asks[n:]
	return ids, nil
}

var errStreamID = errors.New("the ID must be greater than 0-0")

func (m *memoryStream) append(_ context.Context, a *addition) (found bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now()
	switch {
	case a.seq == 0:
		err = errStreamID
	case m.exists && a.seq <= m.last:
		err = errTaken
	default:
		m.entries = append(m.entries, streamed{a.seq, slices.Clone(a.blob)})
		m.exists, m.last = true, a.seq
		m.cut(a.trim)
		close(m.changed)
		m.changed = make(chan struct{})
	}
	if a.renew && m.exists {
		m.expires = time.Now().Add(relayLife)
	}
	if err != nil {
		return false, err
	}
	return a.look != 0 && slices.ContainsFunc(m.entries, func(s streamed) bool { return s.seq == a.look }), nil
}

func (m *memoryStream) after(ctx context.Context, seq uint64, block time.Duration) ([]streamed, error) {
	timeout := time.NewTimer(block)
	defer timeout.Stop()
	for {
		m.mu.Lock()
		m.now()
		i := slices.IndexFunc(m.entries, func(s streamed) bool { return s.seq > seq })
		var found []streamed
		if i >= 0 {
			found = slices.Clone(m.entries[i:min(len(m.entries), i+relayPage)])
		}
		changed := m.changed
		waits := found == nil && block != 0
		if waits {
			m.readers++
		}
		m.mu.Unlock()
		if !waits {
			return found, nil
		}
		select {
		case <-changed:
		case <-timeout.C:
			block = 0
		case <-ctx.Done():
		}
		m.mu.Lock()
		m.readers--
		m.mu.Unlock()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
}

func (m *memoryStream) upTo(_ context.Context, seq uint64) (streamed, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now()
	for _, s := range slices.Backward(m.entries) {
		if s.seq <= seq {
			return s, nil
		}
	}
	return streamed{}, nil
}

func (m *memoryStream) highest(context.Context) (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now()
	return m.last, nil
}

// TestMemoryStreamIsLikeRedis runs the stream in memory and the one in Redis
// side by side.
func TestMemoryStreamIsLikeRedis(t *testing.T) {
	client := relayClient(t, testbed.SharedRedis(t))
	ctx := t.Context()
	runs, steps := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		runs++
		real := redisStream{client, fmt.Sprintf("test-like-redis-%d-%d", time.Now().UnixNano(), runs)}
		defer client.Del(ctx, real.key, real.looksKey())
		memory := newMemoryStream()
		number := rapid.Uint64Range(0, 12)
		same := func(what string, a, b any, errA, errB error) {
			steps++
			if errors.Is(errA, errTaken) != errors.Is(errB, errTaken) || (errA == nil) != (errB == nil) || fmt.Sprint(a) != fmt.Sprint(b) {
				t.Fatalf("%s: Redis %v (%v), in memory %v (%v)", what, a, errA, b, errB)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"append": func(t *rapid.T) {
				a := &addition{
					seq: number.Draw(t, "seq"), blob: rapid.SliceOfN(rapid.Byte(), 0, 3).Draw(t, "blob"),
					trim: number.Draw(t, "trim"), renew: rapid.Bool().Draw(t, "renew"), look: number.Draw(t, "look"),
				}
				if rapid.Bool().Draw(t, "next") {
					a.seq, a.trim = memory.last+1, 0
				}
				x, errX := real.append(ctx, a)
				y, errY := memory.append(ctx, a)
				same("append", x, y, errX, errY)
			},
			"after": func(t *rapid.T) {
				seq := number.Draw(t, "seq")
				x, errX := real.after(ctx, seq, 0)
				y, errY := memory.after(ctx, seq, 0)
				same("after", x, y, errX, errY)
			},
			"upTo": func(t *rapid.T) {
				seq := rapid.SampledFrom([]uint64{0, 1, 3, 5, 9, 1<<64 - 1}).Draw(t, "seq")
				x, errX := real.upTo(ctx, seq)
				y, errY := memory.upTo(ctx, seq)
				same("upTo", x, y, errX, errY)
			},
			"ask": func(t *rapid.T) {
				id := number.Draw(t, "id")
				same("ask", nil, nil, real.ask(ctx, id), memory.ask(ctx, id))
				ttl := client.TTL(ctx, real.looksKey()).Val()
				same("for a while", ttl > 0 && ttl <= lookLife, true, nil, nil)
			},
			"asked": func(*rapid.T) {
				x, errX := real.asked(ctx)
				y, errY := memory.asked(ctx)
				slices.Sort(x) // a set has no order
				slices.Sort(y)
				same("asked", x, y, errX, errY)
			},
			"trim": func(t *rapid.T) {
				before := number.Draw(t, "before")
				client.XTrimMinID(ctx, real.key, streamID(before))
				memory.trim(before)
			},
			"empty": func(t *rapid.T) {
				if rapid.IntRange(0, 9).Draw(t, "really") > 0 {
					t.Skip("rarely")
				}
				client.Del(ctx, real.key, real.looksKey())
				memory.empty()
			},
			"": func(*rapid.T) {
				x, errX := real.highest(ctx)
				y, errY := memory.highest(ctx)
				same("highest", x, y, errX, errY)
				ttl := client.TTL(ctx, real.key).Val()
				same("lives on", ttl > 0 && ttl <= relayLife, !memory.expires.IsZero(), nil, nil)
			},
		})
	})
	// A read that waits for the next entry gets it.
	for name, s := range map[string]streamServer{"Redis": redisStream{client, fmt.Sprint("test-waits-", time.Now().UnixNano())}, "memory": newMemoryStream()} {
		read := make(chan []streamed, 1)
		go func() {
			found, _ := s.after(ctx, 0, patience)
			read <- found
		}()
		if _, err := s.append(ctx, &addition{seq: 7, blob: []byte("x"), renew: true}); err != nil {
			t.Fatal(err)
		}
		if got := <-read; len(got) != 1 || got[0].seq != 7 {
			t.Errorf("%s: a read that waits got %v", name, got)
		}
	}
	testbed.Measured(t, "%d answers of the stream in memory are those of Redis", steps)
}

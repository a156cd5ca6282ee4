package relaytest

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"pgregory.net/rapid"

	"walpurge/dev/testbed"
	"walpurge/internal/relay"
)

func TestMain(m *testing.M) { testbed.Main(m) }

const (
	life = time.Hour
	page = 3
)

func newClient(t *testing.T) redis.UniversalClient {
	t.Helper()
	c, err := relay.NewClient(testbed.SharedRedis(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func onRedis(client redis.UniversalClient, namespace string) *relay.Stream {
	return (&relay.Config{Client: client, Namespace: namespace}).Stream("d", "s")
}

// TestMemoryStreamIsLikeRedis runs the stream in memory and the one in Redis
// side by side.
func TestMemoryStreamIsLikeRedis(t *testing.T) {
	client := newClient(t)
	ctx := t.Context()
	runs, steps := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		runs++
		stream := onRedis(client, fmt.Sprintf("test-like-redis-%d-%d", time.Now().UnixNano(), runs))
		real, key := stream.Server, stream.Key
		defer client.Del(ctx, key, key+":looks")
		memory := New()
		number := rapid.Uint64Range(0, 12)
		same := func(what string, a, b any, errA, errB error) {
			steps++
			if errors.Is(errA, relay.ErrTaken) != errors.Is(errB, relay.ErrTaken) || (errA == nil) != (errB == nil) || fmt.Sprint(a) != fmt.Sprint(b) {
				t.Fatalf("%s: Redis %v (%v), in memory %v (%v)", what, a, errA, b, errB)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"append": func(t *rapid.T) {
				a := &relay.Addition{Trim: number.Draw(t, "trim"), Look: number.Draw(t, "look")}
				a.Seq, a.Blob = number.Draw(t, "seq"), rapid.SliceOfN(rapid.Byte(), 0, 3).Draw(t, "blob")
				if rapid.Bool().Draw(t, "renew") {
					a.Life = life
				}
				if rapid.Bool().Draw(t, "next") {
					a.Seq, a.Trim = memory.last+1, 0
				}
				x, errX := real.Append(ctx, a)
				y, errY := memory.Append(ctx, a)
				same("append", x, y, errX, errY)
			},
			"after": func(t *rapid.T) {
				seq := number.Draw(t, "seq")
				x, errX := real.After(ctx, seq, page, 0)
				y, errY := memory.After(ctx, seq, page, 0)
				same("after", x, y, errX, errY)
			},
			"upTo": func(t *rapid.T) {
				seq := rapid.SampledFrom([]uint64{0, 1, 3, 5, 9, 1<<64 - 1}).Draw(t, "seq")
				x, errX := real.UpTo(ctx, seq)
				y, errY := memory.UpTo(ctx, seq)
				same("upTo", x, y, errX, errY)
			},
			"ask": func(t *rapid.T) {
				id := number.Draw(t, "id")
				same("ask", nil, nil, real.Ask(ctx, id, life), memory.Ask(ctx, id, life))
				ttl := client.TTL(ctx, key+":looks").Val()
				same("for a while", ttl > 0 && ttl <= life, true, nil, nil)
			},
			"asked": func(*rapid.T) {
				x, errX := real.Asked(ctx, 64)
				y, errY := memory.Asked(ctx, 64)
				slices.Sort(x) // a set has no order
				slices.Sort(y)
				same("asked", x, y, errX, errY)
			},
			"trim": func(t *rapid.T) {
				before := number.Draw(t, "before")
				client.XTrimMinID(ctx, key, fmt.Sprint(before))
				memory.Trim(before)
			},
			"empty": func(t *rapid.T) {
				if rapid.IntRange(0, 9).Draw(t, "really") > 0 {
					t.Skip("rarely")
				}
				client.Del(ctx, key, key+":looks")
				memory.Empty()
			},
			"": func(*rapid.T) {
				x, errX := real.Highest(ctx)
				y, errY := memory.Highest(ctx)
				same("highest", x, y, errX, errY)
				ttl := client.TTL(ctx, key).Val()
				same("lives on", ttl > 0 && ttl <= life, !memory.expires.IsZero(), nil, nil)
			},
		})
	})
	// A read that waits for the next entry gets it.
	for name, s := range map[string]relay.Server{"Redis": onRedis(client, fmt.Sprint("test-waits-", time.Now().UnixNano())).Server, "memory": New()} {
		read := make(chan []relay.Message, 1)
		go func() {
			found, _ := s.After(ctx, 0, page, time.Minute)
			read <- found
		}()
		if _, err := s.Append(ctx, &relay.Addition{Message: relay.Message{Seq: 7, Blob: []byte("x")}, Life: life}); err != nil {
			t.Fatal(err)
		}
		if got := <-read; len(got) != 1 || got[0].Seq != 7 {
			t.Errorf("%s: a read that waits got %v", name, got)
		}
	}
	testbed.Measured(t, "%d answers of the stream in memory are those of Redis", steps)
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"
)

// redisKeys is how many responses Redis holds.
func (st *stage) redisKeys() int {
	if st.short {
		return 2000
	}
	return 20_000
}

// measureRedis compares hits that come from Redis with a program that only gets the same number of bytes from it.
func measureRedis(ctx context.Context, st *stage) (*result, error) {
	rounds, span := 3, 2500*time.Millisecond
	if st.short {
		rounds, span = 1, 500*time.Millisecond
	}
	client, err := st.redisClient()
	if err != nil {
		return nil, err
	}
	defer func() { _ = client.Close() }()
	defer func() { _ = client.FlushDB(context.WithoutCancel(ctx)).Err() }()
	n := st.redisKeys()
	random := rand.New(rand.NewPCG(1, 2))
	keys := make([]int32, 1<<20)
	for i := range keys {
		keys[i] = int32(1 + random.IntN(n))
	}
	var ours, loop tried
	var stored int64
	adjust := func(s *site) { s.Redis, s.Namespace, s.Memory = st.redis.URL(), "redis_hits", 1 }
	err = st.with(ctx, guarded, connections, adjust, func(s *server, g *generator) error {
		if stored, err = st.fillRedis(ctx, client, s, g, n); err != nil {
			return err
		}
		for round := range rounds {
			for _, i := range turns(2, round) {
				if i == 0 {
					r, err := st.measure(ctx, s, g, s.pages(pageSize, span, func(n int) int { return int(keys[n%len(keys)]) }))
					if err != nil {
						return err
					}
					ours.cpu, ours.rate = append(ours.cpu, r.perRequest()), append(ours.rate, r.perSecond())
					continue
				}
				cpu, rate, err := st.getLoop(ctx, n, span)
				if err != nil {
					return err
				}
				loop.cpu, loop.rate = append(loop.cpu, cpu), append(loop.rate, rate)
			}
			st.say("round %d of %d: %.2f µs a hit from Redis, %.2f µs a GET", round+1, rounds, ours.cpu[round], loop.cpu[round])
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	ratio := ours.cpu.median() / loop.cpu.median()
	row := func(name string, f tried) []string {
		return []string{name, number(f.cpu.median() / loop.cpu.median()), fmt.Sprintf("%.2f", f.cpu.median()), f.cpu.span("%.2f"), fmt.Sprintf("%.0f", f.rate.median())}
	}
	return &result{
		tables: []table{{
			title: "Hits from Redis",
			head:  []string{"", "CPU of a GET's", "µs", "smallest … largest", "a second"},
			rows:  [][]string{row(guarded, ours), row("go-redis GET in a loop", loop)},
			notes: []string{fmt.Sprintf("%s responses of 2 KiB, all alike in demand; the memory tier has its least size, 1 MiB, so that one in %d at most is in it. The loop gets values of %d B, as the proxy's are, in %d goroutines. "+
				"Medians of %d alternating rounds; Redis is on the other core and not counted.", thousands(float64(n)), n*pageSize>>20, stored, connections, rounds)},
		}},
		goals: []goal{{what: "CPU of a hit from Redis: ours / a go-redis GET", ratio: ratio, limit: 1.6}},
	}, nil
}

func (st *stage) redisClient() (*redis.Client, error) {
	options, err := redis.ParseURL(st.redis.URL())
	if err != nil {
		return nil, err
	}
	return redis.NewClient(options), nil
}

// fillRedis has the proxy store n responses in Redis, and the loop's values beside them. It returns their size.
func (st *stage) fillRedis(ctx context.Context, client *redis.Client, s *server, g *generator, n int) (size int64, err error) {
	// What the proxy stores in Redis it writes beside its answers, and gives up on what takes too long: pages that aren't
	// there are asked for again, at a rate that leaves Redis time.
	p := s.pages(pageSize, 0, func(i int) int { return i + 1 })
	p.count, p.rate, p.mark, p.polite = n, 4000, nil, true
	held := int64(0)
	for pass := 0; held < int64(n); pass++ {
		if pass == 10 {
			return 0, fmt.Errorf("only %d of %d responses are in Redis after %d times asking", held, n, pass)
		}
		if _, err := g.run(ctx, p); err != nil {
			return 0, err
		}
		for before := int64(-1); held < int64(n) && held != before; {
			if err := wait(ctx, 300*time.Millisecond); err != nil {
				return 0, err
			}
			before = held
			if held, err = client.DBSize(ctx).Result(); err != nil {
				return 0, err
			}
		}
	}
	keys, _, err := client.Scan(ctx, 0, s.Namespace+":*", 1000).Result()
	if err != nil {
		return 0, err
	}
	for _, key := range keys {
		if kind, err := client.Type(ctx, key).Result(); err == nil && kind == "string" {
			length, err := client.StrLen(ctx, key).Result()
			if err != nil {
				return 0, err
			}
			size = max(size, length)
		}
	}
	if size < pageSize {
		return 0, fmt.Errorf("the proxy's responses in Redis were not found among %d keys of the namespace %s", len(keys), s.Namespace)
	}
	value := strings.Repeat("x", int(size))
	pipe := client.Pipeline()
	for i := range n {
		pipe.Set(ctx, loopKey(i), value, 0)
		if i%1000 == 999 || i == n-1 {
			if _, err := pipe.Exec(ctx); err != nil {
				return 0, err
			}
		}
	}
	return size, nil
}

func loopKey(i int) string { return "loop:" + strconv.Itoa(i) }

// getLoopCommand as the first argument makes this program the loop: URL, keys, span.
const getLoopCommand = "get-loop"

// getLoop runs the loop in a process of its own on the server's core, and returns the microseconds that a GET costs.
func (st *stage) getLoop(ctx context.Context, keys int, span time.Duration) (cpu, rate float64, err error) {
	self, err := os.Executable()
	if err != nil {
		return 0, 0, err
	}
	out, err := exec.CommandContext(ctx, "taskset", pinned(st.server, self, getLoopCommand, st.redis.URL(), strconv.Itoa(keys), span.String())...).Output()
	if err != nil {
		var failed *exec.ExitError
		if errors.As(err, &failed) {
			err = fmt.Errorf("%w: %s", err, failed.Stderr)
		}
		return 0, 0, fmt.Errorf("the loop of GETs: %w", err)
	}
	if _, err := fmt.Sscan(string(out), &cpu, &rate); err != nil {
		return 0, 0, fmt.Errorf("the loop of GETs said %q: %w", out, err)
	}
	return cpu, rate, nil
}

// runGetLoop is that process.
func runGetLoop(ctx context.Context, args []string, stdout io.Writer) error {
	if len(args) != 3 {
		return errors.New("usage: get-loop URL KEYS SPAN")
	}
	options, err := redis.ParseURL(args[0])
	if err != nil {
		return err
	}
	keys, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	span, err := time.ParseDuration(args[2])
	if err != nil {
		return err
	}
	options.PoolSize, options.MinIdleConns = connections, connections
	client := redis.NewClient(options)
	defer func() { _ = client.Close() }()
	if err := client.Get(ctx, loopKey(0)).Err(); err != nil {
		return err
	}
	var gets atomic.Int64
	before, began := ownCPU(), time.Now()
	group, ctx := errgroup.WithContext(ctx)
	for range connections {
		group.Go(func() error {
			for time.Since(began) < span {
				if _, err := client.Get(ctx, loopKey(rand.IntN(keys))).Bytes(); err != nil {
					return err
				}
				gets.Add(1)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	n := float64(gets.Load())
	_, err = fmt.Fprintln(stdout, (ownCPU()-before).Seconds()*1e6/n, n/time.Since(began).Seconds())
	return err
}

// measureStart starts the proxy while Redis holds its responses, and while it holds nothing.
func measureStart(ctx context.Context, st *stage) (*result, error) {
	rounds := 3
	if st.short {
		rounds = 1
	}
	client, err := st.redisClient()
	if err != nil {
		return nil, err
	}
	defer func() { _ = client.Close() }()
	defer func() { _ = client.FlushDB(context.WithoutCancel(ctx)).Err() }()
	n := st.redisKeys()
	adjust := func(s *site) { s.Redis, s.Namespace = st.redis.URL(), "start" }
	little := func(s *site) {
		adjust(s)
		s.Memory = 1
	}
	var answer, hit, share [2]series // with a warm and with an empty Redis
	for round := range rounds {
		for _, i := range turns(2, round) {
			if err := client.FlushDB(ctx).Err(); err != nil {
				return nil, err
			}
			if i == 0 { // another process fills it, and is gone
				err := st.with(ctx, guarded, connections, little, func(s *server, g *generator) error {
					// What Redis holds is as old as the oldest change in the relay at most: there must be one.
					if _, err := st.db.Exec(ctx, "UPDATE pages SET version = version + 1 WHERE id = $1", rows); err != nil {
						return err
					}
					_, err := st.fillRedis(ctx, client, s, g, n)
					return err
				})
				if err != nil {
					return nil, err
				}
			}
			a, h, sh, err := st.begin(ctx, adjust, n)
			if err != nil {
				return nil, err
			}
			answer[i], hit[i], share[i] = append(answer[i], milliseconds(a)), append(hit[i], milliseconds(h)), append(share[i], sh)
			st.say("round %d of %d: first answer after %.0f ms, first hit after %.0f ms, %.1f%% of the first requests were hits", round+1, rounds, milliseconds(a), milliseconds(h), 100*sh)
		}
	}
	t := table{
		title: "Starting",
		head:  []string{"Redis", "hits among the first requests", "first answer, ms", "first hit, ms", "smallest … largest"},
		notes: []string{fmt.Sprintf("From the start of the process, on one core; %s responses of 2 KiB, stored by a process before it. Then each is asked for once. With an empty Redis the first hit is the second request for a page. Medians of %d alternating rounds.",
			thousands(float64(n)), rounds)},
	}
	for i, name := range []string{"warm", "empty"} {
		t.rows = append(t.rows, []string{name, percent(share[i].median()), fmt.Sprintf("%.0f", answer[i].median()), fmt.Sprintf("%.0f", hit[i].median()), hit[i].span("%.0f")})
	}
	return &result{tables: []table{t}}, nil
}

// begin starts the proxy and tells when it gave the first answer and the first hit, and which share of n pages were hits.
func (st *stage) begin(ctx context.Context, adjust func(*site), n int) (answer, hit time.Duration, share float64, err error) {
	began := time.Now()
	s, err := st.launch(guarded, adjust)
	if err != nil {
		return 0, 0, 0, err
	}
	defer func() { err = errors.Join(err, s.end()) }()
	err = s.await(ctx, "answer", func(ctx context.Context) error { return st.origin.fetch(ctx, s.Listen, page, "") })
	if err != nil {
		return 0, 0, 0, err
	}
	answer = time.Since(began)
	err = s.await(ctx, "hit", func(ctx context.Context) error { return st.origin.fetch(ctx, s.Listen, page, s.mark) })
	if err != nil {
		return 0, 0, 0, err
	}
	hit = time.Since(began)
	g, err := newGenerator(ctx, s.Listen, connections)
	if err != nil {
		return 0, 0, 0, err
	}
	defer func() { err = errors.Join(err, g.close()) }()
	before := st.origin.requests.Load()
	if err := fillPages(ctx, s, g, n, pageSize); err != nil {
		return 0, 0, 0, err
	}
	return answer, hit, 1 - float64(st.origin.requests.Load()-before)/float64(n), nil
}

package relay

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// Every entry wakes every follower, which costs Redis time for each: about 15
// µs, as BenchmarkFollowers shows. Redis has one thread, and other work. So
// with many followers the leader leaves a pause between two entries, in which
// transactions gather: the relay takes about half of that thread at most.
const (
	wakeCost     = 15 * time.Microsecond
	paceFrom     = time.Millisecond // a shorter pause isn't worth a timer
	paceShare    = 2                // one part work, one part pause
	paceMemory   = 8                // looks until followers that have gone are forgotten, about
	paceFraction = 8                // of max_lag: the pause is not longer, whatever Redis says
)

// pace is the pause between two entries.
type pace struct {
	followers int
	most      time.Duration
}

// counted takes how many followers have been seen waiting. Those that were
// busy with an entry at that moment are not among them, so a smaller number
// counts slowly.
func (p *pace) counted(waiting int) {
	p.followers = max(waiting, p.followers-(p.followers+paceMemory-1)/paceMemory)
}

func (p *pace) pause() time.Duration {
	d := min(time.Duration(p.followers)*wakeCost*paceShare, p.most)
	if d < paceFrom {
		return 0
	}
	return d
}

// Waiting implements Server by INFO. It is how many clients wait for something: followers, above all.
func (s redisServer) Waiting(ctx context.Context) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, Wait)
	defer cancel()
	var server redis.Cmdable = s.client
	if cluster, ok := s.client.(*redis.ClusterClient); ok {
		node, err := cluster.MasterForKey(ctx, s.key)
		if err != nil {
			return 0, fmt.Errorf("find the relay's node: %w", err)
		}
		server = node
	}
	info, err := server.Info(ctx, "clients").Result()
	if err != nil {
		return 0, fmt.Errorf("count the followers: %w", err)
	}
	for line := range strings.Lines(info) {
		if number, ok := strings.CutPrefix(strings.TrimSpace(line), "blocked_clients:"); ok {
			return strconv.Atoi(number)
		}
	}
	return 0, nil
}

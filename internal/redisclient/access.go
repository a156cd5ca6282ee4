package redisclient

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// RefusalError is an answer of Redis that waiting doesn't change.
type RefusalError struct {
	Command string // what the user may not do; empty: Redis doesn't let it in at all
	Says    string // Redis' words, without what it was sent
}

// Error implements error.
func (e *RefusalError) Error() string {
	if e.Command == "" {
		return "Redis says: " + e.Says
	}
	return fmt.Sprintf("its user may not use %s on the namespace's keys: Redis says: %s", e.Command, e.Says)
}

// Rights is what a user needs, as ACL SETUSER takes it.
func Rights(namespace string) string {
	return "'~" + namespace + ":*' +@read +@write +@connection +info"
}

// probeLife is how long a key lasts that couldn't be removed.
const probeLife = 10 * time.Second

// Access asks Redis for all that is needed of it: to be let in, and each command that the Redis tier sends, and the relay's
// where there is one. They are sent in earnest, on keys of their own in the namespace: ACL DRYRUN is a right that a user of one
// namespace doesn't have. A refusal is a [*RefusalError]; any other error is that of a Redis that isn't there.
func Access(ctx context.Context, c redis.UniversalClient, namespace string, relayed bool) error {
	if err := refusal("", c.Ping(ctx).Err()); err != nil {
		return err
	}
	id := "check-" + strings.ToLower(rand.Text())
	text, stream := namespace+":{"+id+"}", namespace+":relay:"+id
	set, hash := stream+":looks", stream+":members"
	type step struct {
		name string
		do   func() redis.Cmder
	}
	steps := []step{ // what removes comes first, so that nothing stays for good
		{"UNLINK", func() redis.Cmder { return c.Unlink(ctx, text) }},
		{"SET", func() redis.Cmder { return c.Set(ctx, text, 1, probeLife) }},
		{"GET", func() redis.Cmder { return c.Get(ctx, text) }},
	}
	if relayed {
		steps = append(steps, []step{
			{"EXPIRE", func() redis.Cmder { return c.Expire(ctx, stream, probeLife) }},
			{"PEXPIRE", func() redis.Cmder { return c.PExpire(ctx, hash, probeLife) }},
			{"EXISTS", func() redis.Cmder { return c.Exists(ctx, stream+":wanted") }},
			{"XADD", func() redis.Cmder { return c.XAdd(ctx, &redis.XAddArgs{Stream: stream, Values: []any{"e", ""}}) }},
			{"XRANGE", func() redis.Cmder { return c.XRange(ctx, stream, "-", "+") }},
			{"XREVRANGE", func() redis.Cmder { return c.XRevRangeN(ctx, stream, "+", "-", 1) }},
			{"XREAD", func() redis.Cmder {
				return c.XRead(ctx, &redis.XReadArgs{Streams: []string{stream, "0"}, Count: 1, Block: -1})
			}},
			{"XINFO", func() redis.Cmder { return c.XInfoStream(ctx, stream) }},
			{"SADD", func() redis.Cmder { return c.SAdd(ctx, set, 1) }},
			{"SPOP", func() redis.Cmder { return c.SPopN(ctx, set, 1) }},
			{"HSET", func() redis.Cmder { return c.HSet(ctx, hash, "a", 1, "b", 1) }},
			{"HGETALL", func() redis.Cmder { return c.HGetAll(ctx, hash) }},
			{"HDEL", func() redis.Cmder { return c.HDel(ctx, hash, "a") }},
			{"INFO", func() redis.Cmder { return c.Info(ctx, "clients") }},
		}...)
	}
	defer func() {
		for _, key := range []string{text, stream, set, hash} {
			_ = c.Unlink(ctx, key).Err() // one by one: in a cluster they are apart
		}
	}()
	for _, s := range steps {
		if err := refusal(s.name, s.do().Err()); err != nil {
			return err
		}
	}
	return nil
}

// refusal tells an answer that waiting doesn't change from other errors.
func refusal(command string, err error) error {
	var answer redis.Error
	switch {
	case err == nil || errors.Is(err, redis.Nil):
		return nil
	case !errors.As(err, &answer):
		return err
	}
	says := answer.Error()
	for _, passing := range []string{"LOADING", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "BUSY", "READONLY", "OOM", "MISCONF", "NOREPLICAS"} {
		if strings.HasPrefix(says, passing) {
			return err
		}
	}
	if !strings.HasPrefix(says, "NOPERM") {
		command = ""
	}
	says, _, _ = strings.Cut(says, ", with args") // a server that doesn't know a command repeats what it was sent
	return &RefusalError{command, strings.TrimSuffix(says, ".")}
}

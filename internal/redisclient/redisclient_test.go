package redisclient

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

func TestFormsOfTheURL(t *testing.T) {
	for text, want := range map[string]redis.UniversalOptions{
		"redis+sentinel://u:p%40ss@s1:1,s2,[::1]:3/mymaster/4?sentinel_username=a&sentinel_password=b": {
			Addrs: []string{"s1:1", "s2:26379", "[::1]:3"}, MasterName: "mymaster", DB: 4,
			Username: "u", Password: "p@ss", SentinelUsername: "a", SentinelPassword: "b",
		},
		"rediss+sentinel://s1/m":       {Addrs: []string{"s1:26379"}, MasterName: "m"},
		"redis+cluster://:p@n1:1,n2":   {Addrs: []string{"n1:1", "n2:6379"}, Password: "p", IsClusterMode: true},
		"rediss+cluster://n1.example/": {Addrs: []string{"n1.example:6379"}, IsClusterMode: true},
	} {
		a, err := take(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		o := parse(a)
		if !slices.Equal(o.Addrs, want.Addrs) || o.MasterName != want.MasterName || o.DB != want.DB || o.Username != want.Username || o.Password != want.Password ||
			o.SentinelUsername != want.SentinelUsername || o.SentinelPassword != want.SentinelPassword || o.IsClusterMode != want.IsClusterMode {
			t.Errorf("%s is %+v", text, o)
		}
		if (o.TLSConfig != nil) != strings.HasPrefix(text, "rediss") {
			t.Errorf("%s: TLS is %v", text, o.TLSConfig)
		}
	}
}

func TestClientIsOfTheKindThatTheURLNames(t *testing.T) {
	l := Limits{Wait: 70 * time.Millisecond, PoolSize: 4}
	for text, cluster := range map[string]bool{"redis://h/1": false, "rediss://h": false, "unix:///s": false, "redis+sentinel://h/m": false, "redis+cluster://h": true} {
		c, err := New(text, l)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		var retries int
		var wait time.Duration
		if cc, ok := c.(*redis.ClusterClient); ok != cluster {
			t.Errorf("%s is a %T", text, c)
		} else if ok {
			retries, wait = cc.Options().MaxRetries, cc.Options().ReadTimeout
		} else {
			o := c.(*redis.Client).Options()
			retries, wait = o.MaxRetries, o.ReadTimeout
		}
		if retries > 0 || wait != l.Wait {
			t.Errorf("%s: %d retries, waits %v", text, retries, wait)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestErrorsHoldNoPassword(t *testing.T) {
	for _, text := range []string{
		"http://u:hunter2@h", "redis://u:hunter2@h:port", "redis://u:hunter2@h/db", "redis://u:hunter2@h\x00", "redis+sentinel://u:hunter2@h", "redis+sentinel://u:hunter2@h/m/x",
		"redis+sentinel://u:hunter2@h,,/m", "redis+sentinel://u:hunter%2@h/m", "redis+sentinel://u:hunter2@h/m?password=hunter2", "redis+cluster://u:hunter2@h/1",
		"redis+cluster://u:hunter2@h?a=hunter2", "redis+cluster://", "hunter2",
	} {
		c, err := New(text, Limits{})
		if err == nil {
			t.Errorf("%s makes a client", text)
			_ = c.Close()
			continue
		}
		if strings.Contains(err.Error(), "hunter") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

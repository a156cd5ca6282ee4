package config

import (
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"walpurge/internal/conninfo"
	"walpurge/internal/redisclient"
)

// setting is one line of the effective configuration.
type setting struct{ key, value string }

func (c Config) settings() []setting {
	s := []setting{{"listen", c.Listen.String()}, {"admin", c.Admin.String()}}
	if c.AdminToken != "" {
		s = append(s, setting{"admin_token", c.AdminToken.String()})
	}
	if c.Origin != nil {
		origin := RedactURL(c.Origin.String())
		if c.OriginSocket != "" {
			origin = "unix:" + c.OriginSocket
		}
		s = append(s, setting{"origin", origin})
	}
	if c.Postgres != nil {
		s = append(s, setting{"postgres.url", conninfo.Describe(string(c.Postgres.URL))},
			setting{"postgres.slot", c.Postgres.Slot}, setting{"postgres.publication", c.Postgres.Publication},
			setting{"postgres.read_ahead", c.Postgres.ReadAhead.String()})
		for _, w := range c.Postgres.Watch {
			s = append(s, setting{"postgres.watch", w.String()})
		}
	}
	if c.Redis != nil {
		s = append(s, setting{"redis.url", redisclient.Describe(string(c.Redis.URL))}, setting{"redis.namespace", c.Redis.Namespace})
	}
	if c.Position.Cookie != "" {
		s = append(s, setting{"position.cookie", c.Position.Cookie})
	}
	if c.Position.Secret != "" {
		s = append(s, setting{"position.secret", c.Position.Secret.String()})
	}
	if c.TLS != nil {
		s = append(s, setting{"tls.cert", c.TLS.Cert}, setting{"tls.key", c.TLS.Key})
	}
	proxies := make([]string, len(c.TrustedProxies))
	for i, p := range c.TrustedProxies {
		proxies[i] = p.String()
	}
	s = append(s,
		setting{"memory", c.Memory.String()},
		setting{"max_lag", c.MaxLag.String()},
		setting{"max_object", c.MaxObject.String()},
		setting{"bulk_rows", strconv.Itoa(c.BulkRows)},
		setting{"origin_timeout", c.OriginTimeout.String()},
		setting{"fill_timeout", c.FillTimeout.String()},
		setting{"origin_concurrency", strconv.Itoa(c.OriginConcurrency)},
		setting{"origin_wait", c.OriginWait.String()},
		setting{"connect_timeout", c.ConnectTimeout.String()},
		setting{"join_timeout", c.JoinTimeout.String()},
		setting{"header_timeout", c.HeaderTimeout.String()},
		setting{"body_timeout", c.BodyTimeout.String()},
		setting{"write_timeout", c.WriteTimeout.String()},
		setting{"idle_timeout", c.IdleTimeout.String()},
		setting{"strict_wait", c.StrictWait.String()},
		setting{"position.max_age", c.Position.MaxAge.String()},
		setting{"audit", strconv.FormatFloat(c.Audit, 'g', -1, 64)},
		setting{"compress", strconv.FormatBool(c.Compress)},
		setting{"server_timing", strconv.FormatBool(c.ServerTiming)},
		setting{"trusted_proxies", "[" + strings.Join(proxies, ", ") + "]"},
		setting{"log.level", strings.ToLower(c.Log.Level.String())},
		setting{"log.format", string(c.Log.Format)},
		setting{"shutdown_timeout", c.ShutdownTimeout.String()},
		setting{"max_header", c.MaxHeader.String()},
	)
	if c.ReusePort {
		s = append(s, setting{"reuse_port", "true"})
	}
	if a := c.AccessLog; a != nil {
		s = append(s, setting{"access_log.file", a.File}, setting{"access_log.format", string(a.Format)}, setting{"access_log.query", strconv.FormatBool(a.Query)})
	}
	if t := c.Tracing; t != nil && t.URL != nil {
		s = append(s, setting{"tracing.url", t.Endpoint()}, setting{"tracing.sample", strconv.FormatFloat(t.Sample, 'g', -1, 64)})
	}
	for i := range s {
		if written, ok := c.fromEnv[s[i].key]; ok {
			s[i].value = written
			if strings.HasSuffix(s[i].key, ".url") && !plainEnv.MatchString(written) {
				s[i].value = "[from the environment]"
			}
		}
	}
	return s
}

// String lists the effective settings and routes, a line each. What came from the environment appears as it is written
// in the file, ${NAME}, and passwords as xxxxx.
func (c Config) String() string {
	var b strings.Builder
	for _, s := range c.settings() {
		fmt.Fprintf(&b, "%s: %s\n", s.key, s.value)
	}
	for _, r := range c.Routes {
		fmt.Fprintf(&b, "route %s\n", r)
	}
	return b.String()
}

// GoString is String: a secret isn't shown by %#v either.
func (c Config) GoString() string { return c.String() }

// LogValue groups the effective settings by key, without secrets.
func (c Config) LogValue() slog.Value {
	attrs := make([]slog.Attr, 0, len(c.Routes)+20)
	for _, s := range c.settings() {
		attrs = append(attrs, slog.String(s.key, s.value))
	}
	return slog.GroupValue(append(attrs, slog.Int("routes", len(c.Routes)))...)
}

// MarshalText is String: a secret isn't shown by encoding/json either.
func (c Config) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// String is the route in one line, in the words of the file.
func (r Route) String() string {
	if r.Events {
		return r.written + "; events"
	}
	parts := []string{r.written}
	for _, d := range r.DependsOn {
		parts = append(parts, "depends on "+d.String())
	}
	if r.Declared {
		parts = append(parts, "depends on what the response names")
	}
	for _, o := range []struct {
		name  string
		value *time.Duration
	}{{"ttl", r.TTL}, {"stale_while_revalidate", r.StaleWhileRevalidate}, {"stale_if_error", r.StaleIfError}} {
		if o.value != nil {
			parts = append(parts, o.name+" "+o.value.String())
		}
	}
	parts = append(parts, r.Consistency.String(), "query "+r.Query.String())
	for _, v := range r.Vary {
		parts = append(parts, "vary "+v.String())
	}
	if r.OnChange > 0 {
		parts = append(parts, "on_change serve_stale "+r.OnChange.String())
	}
	if r.ClientKeeps {
		parts = append(parts, "client_cache origin")
	}
	return strings.Join(append(parts, "max_lag "+r.MaxLag.String()), "; ")
}

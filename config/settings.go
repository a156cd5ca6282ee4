package config

import (
	"log/slog"
	"math"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
)

const (
	minLag, maxLag = 10 * time.Millisecond, time.Hour
	maxTimeout     = 24 * time.Hour
	maxSocketPath  = 107 // bytes, what a sockaddr_un holds on Linux besides the final zero
	maxBulkRows    = 10_000_000
	maxConcurrency = 1_000_000
	exampleOrigin  = "http://127.0.0.1:9000"
)

var (
	slotName      = regexp.MustCompile(`^[a-z0-9_]{1,63}$`)
	namespaceName = regexp.MustCompile(`^[A-Za-z0-9_.:-]{1,64}$`)
	tokenForm     = regexp.MustCompile(`^[\x21-\x7e]+$`)
)

// root reads the file's top level.
func (d *decoder) root(n *node) {
	c := d.config
	objectGiven := false
	given := d.fields(n, "", []field{
		{"listen", func(n *node) { d.address(n, "listen", &c.Listen) }},
		{"admin", func(n *node) { d.address(n, "admin", &c.Admin) }},
		{"admin_token", d.adminToken},
		{"reuse_port", func(n *node) { c.ReusePort = d.choice(n, "reuse_port", "false", "true") == 1 }},
		{"origin", d.origin},
		{"postgres", d.postgres},
		{"redis", d.redis},
		{"memory", func(n *node) { d.size(n, "memory", &c.Memory, MiB, math.MaxInt64) }},
		{"max_lag", func(n *node) { d.duration(n, "max_lag", &c.MaxLag, minLag, maxLag) }},
		{"max_object", func(n *node) { objectGiven = true; d.size(n, "max_object", &c.MaxObject, 1, math.MaxInt64) }},
		{"bulk_rows", func(n *node) { d.integer(n, "bulk_rows", &c.BulkRows, 1, maxBulkRows) }},
		{"origin_timeout", func(n *node) { d.duration(n, "origin_timeout", &c.OriginTimeout, time.Millisecond, maxTimeout) }},
		{"fill_timeout", func(n *node) { d.duration(n, "fill_timeout", &c.FillTimeout, time.Millisecond, maxTimeout) }},
		{"origin_concurrency", func(n *node) { d.integer(n, "origin_concurrency", &c.OriginConcurrency, 0, maxConcurrency) }},
		{"origin_wait", func(n *node) { d.duration(n, "origin_wait", &c.OriginWait, time.Millisecond, maxTimeout) }},
		{"connect_timeout", func(n *node) { d.duration(n, "connect_timeout", &c.ConnectTimeout, time.Millisecond, maxTimeout) }},
		{"join_timeout", func(n *node) { d.duration(n, "join_timeout", &c.JoinTimeout, time.Millisecond, maxTimeout) }},
		{"header_timeout", func(n *node) { d.duration(n, "header_timeout", &c.HeaderTimeout, time.Millisecond, maxTimeout) }},
		{"body_timeout", func(n *node) { d.duration(n, "body_timeout", &c.BodyTimeout, time.Millisecond, maxTimeout) }},
		{"write_timeout", func(n *node) { d.duration(n, "write_timeout", &c.WriteTimeout, time.Millisecond, maxTimeout) }},
		{"idle_timeout", func(n *node) { d.duration(n, "idle_timeout", &c.IdleTimeout, time.Millisecond, maxTimeout) }},
		{"strict_wait", func(n *node) { d.duration(n, "strict_wait", &c.StrictWait, time.Millisecond, time.Minute) }},
		{"position", d.position},
		{"audit", d.audit},
		{"compress", func(n *node) {
			if i := d.choice(n, "compress", "true", "false"); i >= 0 {
				c.Compress = i == 0
			}
		}},
		{"server_timing", func(n *node) { c.ServerTiming = d.choice(n, "server_timing", "true", "false") == 0 }},
		{"tls", d.tls},
		{"trusted_proxies", d.trustedProxies},
		{"log", d.log},
		{"access_log", d.accessLog},
		{"tracing", d.tracing},
		{"shutdown_timeout", func(n *node) { d.duration(n, "shutdown_timeout", &c.ShutdownTimeout, 0, time.Hour) }},
		{"max_header", func(n *node) { d.size(n, "max_header", &c.MaxHeader, KiB, 16*MiB) }},
		{"routes", d.routes},
	})
	if _, ok := given["origin"]; !ok && n.kind == mapping {
		d.fail(n.pos, "origin is missing; add origin: %s", exampleOrigin)
	}
	if !objectGiven {
		c.MaxObject = min(c.MaxObject, c.Memory)
	}
}

// address reads host:port or unix:/path.
func (d *decoder) address(n *node, key string, into *Address) {
	text, ok := d.text(n, key)
	if !ok {
		return
	}
	if path, unix := strings.CutPrefix(text, "unix:"); unix {
		switch {
		case !strings.HasPrefix(path, "/"):
			d.fail(n.pos, "%s: %s is not an absolute path; write unix:/run/walpurge.sock", key, n.show())
		case len(path) > maxSocketPath:
			d.fail(n.pos, "%s: the socket's path is longer than %d bytes; choose a shorter one", key, maxSocketPath)
		default:
			*into = Address{"unix", path}
		}
		return
	}
	host, port, err := net.SplitHostPort(text)
	_, portErr := strconv.ParseUint(port, 10, 16) // 0 lets the system choose
	if err != nil || portErr != nil || strings.ContainsAny(host, "/ @") {
		d.fail(n.pos, "%s: %s is not an address; write HOST:PORT, such as 127.0.0.1:8080, or unix:/path", key, n.show())
		return
	}
	*into = Address{"tcp", text}
}

// loopback reports whether only this machine can connect to the address.
func (a Address) loopback() bool {
	if a.Network == "unix" {
		return true
	}
	host, _, err := net.SplitHostPort(a.Address)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}

// adminToken reads the token. It may be empty, so that ${ADMIN_TOKEN:-} can stand in a file that serves everywhere.
func (d *decoder) adminToken(n *node) {
	if n.kind == scalar && n.text == "" {
		return
	}
	text, ok := d.text(n, "admin_token")
	if !ok {
		return
	}
	d.noteSecret(n.raw)
	if !tokenForm.MatchString(text) {
		d.fail(n.pos, "admin_token holds a space or a character that a header can't carry; use printable ASCII")
		return
	}
	d.config.AdminToken = Secret(text)
}

func (d *decoder) origin(n *node) {
	text, ok := d.text(n, "origin")
	if !ok {
		return
	}
	if strings.HasPrefix(text, "unix:") {
		var socket Address
		if d.address(n, "origin", &socket); socket.Network == "unix" {
			d.config.Origin, d.config.OriginSocket = &url.URL{Scheme: "http", Host: "localhost"}, socket.Address
		}
		return
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		d.fail(n.pos, "origin is not an http:// or https:// URL; write one such as %s", exampleOrigin)
	case u.User != nil:
		d.fail(n.pos, "origin holds credentials; leave them out, the proxy sends on what the client sent")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.HasSuffix(text, "#"):
		d.fail(n.pos, "origin has a query or a fragment; write scheme, host and port only")
	case u.Path != "" && u.Path != "/":
		d.fail(n.pos, "origin has a path; write scheme, host and port only, paths are passed on as they are")
	case !validPort(u):
		d.fail(n.pos, "origin has a port out of bounds; write one from 1 to 65535")
	default:
		u.Path = ""
		d.config.Origin = u
	}
}

func validPort(u *url.URL) bool {
	if u.Port() == "" {
		return true
	}
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	return err == nil && port > 0
}

func (d *decoder) audit(n *node) { d.share(n, "audit", "every hit", &d.config.Audit) }

// share reads a number from 0 to 1. all says what 1 means.
func (d *decoder) share(n *node, key, all string, into *float64) {
	if d.note(shareShape()) {
		return
	}
	text, ok := d.text(n, key)
	if !ok {
		return
	}
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(v) || v < 0 || v > 1 {
		d.fail(n.pos, "%s: %s is not a share; write a number from 0 (off) to 1 (%s)", key, n.show(), all)
		return
	}
	*into = v
}

func (d *decoder) tls(n *node) {
	t := &TLS{}
	d.config.TLS = t
	given := d.fields(n, "tls", []field{
		{"cert", func(n *node) { t.Cert, _ = d.text(n, "tls.cert") }},
		{"key", func(n *node) { t.Key, _ = d.text(n, "tls.key") }},
	})
	for _, key := range []string{"cert", "key"} {
		if _, ok := given[key]; !ok && n.kind == mapping {
			d.fail(n.pos, "tls.%s is missing; name the PEM file with the %s", key, map[string]string{"cert": "certificate", "key": "private key"}[key])
		}
	}
}

func (d *decoder) trustedProxies(n *node) {
	d.list(n, "trusted_proxies", "[10.0.0.0/8]", func(item *node) {
		text, ok := d.text(item, "an entry of trusted_proxies")
		if !ok {
			return
		}
		p, err := netip.ParsePrefix(text)
		if ip, plain := netip.ParseAddr(text); err != nil && plain == nil && ip.Zone() == "" {
			p, err = netip.PrefixFrom(ip, ip.BitLen()), nil
		}
		switch {
		case err != nil:
			d.fail(item.pos, "trusted_proxies: %s is not a network; write it as 10.0.0.0/8 or fd00::/8", item.show())
		case p != p.Masked() && len(item.env) > 0:
			d.fail(item.pos, "trusted_proxies: %s has bits set behind its length", item.show())
		case p != p.Masked():
			d.fail(item.pos, "trusted_proxies: %s has bits set behind its length; write %s", item.show(), p.Masked())
		default:
			if len(item.env) > 0 {
				d.config.fromEnv["trusted_proxies"] = "(from the environment)"
			}
			d.config.TrustedProxies = append(d.config.TrustedProxies, p)
		}
	})
}

func (d *decoder) log(n *node) {
	l := &d.config.Log
	d.fields(n, "log", []field{
		{"level", func(n *node) {
			levels := []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError}
			if i := d.choice(n, "log.level", "debug", "info", "warn", "error"); i >= 0 {
				l.Level = levels[i]
			}
		}},
		{"format", func(n *node) {
			if i := d.choice(n, "log.format", string(JSON), string(Text)); i >= 0 {
				l.Format = []LogFormat{JSON, Text}[i]
			}
		}},
	})
}

func (d *decoder) accessLog(n *node) {
	a := &AccessLog{Format: Combined, Query: true}
	d.config.AccessLog = a
	given := d.fields(n, "access_log", []field{
		{"file", func(n *node) {
			if text, ok := d.text(n, "access_log.file"); ok {
				a.File = text
			}
		}},
		{"format", func(n *node) {
			if i := d.choice(n, "access_log.format", string(Combined), string(AccessJSON)); i >= 0 {
				a.Format = []AccessFormat{Combined, AccessJSON}[i]
			}
		}},
		{"query", func(n *node) { a.Query = d.choice(n, "access_log.query", "true", "false") == 0 }},
	})
	if _, ok := given["file"]; !ok && n.kind == mapping {
		d.fail(n.pos, "access_log.file is missing; add file: /var/log/walpurge/access.log")
	}
}

func (d *decoder) tracing(n *node) {
	t := &Tracing{Sample: 1}
	d.config.Tracing = t
	given := d.fields(n, "tracing", []field{
		{"url", func(n *node) {
			text, ok := d.text(n, "tracing.url")
			if !ok {
				return
			}
			u, err := url.Parse(text)
			switch {
			case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || !validPort(u):
				d.fail(n.pos, "tracing.url is not an http:// or https:// URL; write one such as http://127.0.0.1:4318")
				return
			case strings.IndexByte(u.Path, '@') >= 0 || strings.IndexByte(u.RawQuery, '@') >= 0 || u.Fragment != "":
				d.fail(n.pos, "tracing.url has an @ or a # where none belongs; percent-encode special characters in the user and password: @ is %%40, / is %%2F, # is %%23")
				return
			}
			t.URL = u
		}},
		{"sample", func(n *node) { d.share(n, "tracing.sample", "every trace", &t.Sample) }},
	})
	if _, ok := given["url"]; !ok && n.kind == mapping {
		d.fail(n.pos, "tracing.url is missing; add url: http://127.0.0.1:4318")
	}
}

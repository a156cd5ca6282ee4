package config

import (
	"log/slog"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"
)

// Config is a checked configuration: every value is within its bounds and every default is filled in.
type Config struct {
	Listen            Address        `yaml:"listen"`      // where clients connect
	Admin             Address        `yaml:"admin"`       // metrics, health, status, purge, dashboard
	AdminToken        Secret         `yaml:"admin_token"` // bearer token for what changes state; never empty when Admin isn't loopback
	ReusePort         bool           `yaml:"reuse_port"`  // another process may listen on the same ports meanwhile
	Origin            *url.URL       `yaml:"origin"`      // http or https, host and port only
	OriginSocket      string         // path of the Unix socket where the origin is; empty: at Origin's host
	Postgres          *Postgres      `yaml:"postgres"`           // nil: a plain HTTP cache, no route has dependencies
	Redis             *Redis         `yaml:"redis"`              // nil: the memory tier alone
	Memory            Size           `yaml:"memory"`             // of the memory tier, at least 1MiB
	MaxLag            time.Duration  `yaml:"max_lag"`            // how far behind the primary a hit may be, 10ms to 1h
	MaxObject         Size           `yaml:"max_object"`         // largest response that is stored, at most Memory
	BulkRows          int            `yaml:"bulk_rows"`          // rows in one transaction above which whole tables match
	OriginTimeout     time.Duration  `yaml:"origin_timeout"`     // until the first byte of the origin's answer
	FillTimeout       time.Duration  `yaml:"fill_timeout"`       // how long a fill is shared
	OriginConcurrency int            `yaml:"origin_concurrency"` // fills under way to the origin at one time; 0 is no limit
	OriginWait        time.Duration  `yaml:"origin_wait"`        // how long a request waits for its turn among them
	ConnectTimeout    time.Duration  `yaml:"connect_timeout"`    // for a connection to the origin
	JoinTimeout       time.Duration  `yaml:"join_timeout"`       // how long a request waits for another's fill
	HeaderTimeout     time.Duration  `yaml:"header_timeout"`     // for a client to send a head
	BodyTimeout       time.Duration  `yaml:"body_timeout"`       // between two pieces of a request's body
	WriteTimeout      time.Duration  `yaml:"write_timeout"`      // for a client to take a piece of a response
	IdleTimeout       time.Duration  `yaml:"idle_timeout"`       // of client connections between requests
	StrictWait        time.Duration  `yaml:"strict_wait"`        // how long a strict read waits for the proof of freshness
	Position          Position       `yaml:"position"`
	Audit             float64        `yaml:"audit"`           // share of hits compared with the origin, 0 to 1
	Compress          bool           `yaml:"compress"`        // stored text goes out in gzip, zstd or br to clients that take them
	ServerTiming      bool           `yaml:"server_timing"`   // responses tell browsers how they were answered
	TLS               *TLS           `yaml:"tls"`             // nil: clients connect in clear text
	TrustedProxies    []netip.Prefix `yaml:"trusted_proxies"` // whose Forwarded and X-Forwarded-* are believed
	Log               Log            `yaml:"log"`
	AccessLog         *AccessLog     `yaml:"access_log"`       // nil: none
	Tracing           *Tracing       `yaml:"tracing"`          // nil: none
	ShutdownTimeout   time.Duration  `yaml:"shutdown_timeout"` // how long requests may take to finish on stop
	MaxHeader         Size           `yaml:"max_header"`       // of a request's header section, 1KiB to 16MiB
	Routes            []Route        `yaml:"routes"`           // in the file's order; may be empty

	src       *source
	positions map[string]Pos
	fromEnv   map[string]string // dotted key → as written in the file, for String
}

// Postgres names the database whose write-ahead log is read.
type Postgres struct {
	URL         Secret        `yaml:"url"`         // postgres:// or key=value; direct, poolers don't carry replication
	Slot        string        `yaml:"slot"`        // [a-z0-9_]{1,63}
	Publication string        `yaml:"publication"` // any name of at most 63 bytes
	ReadAhead   time.Duration `yaml:"read_ahead"`  // how long the stream may be behind before the log is read ahead of it; 0: it never is
	Watch       []Dependency  `yaml:"watch"`       // tables that only responses name, with the columns that they narrow by; without conditions
}

// Redis names the second tier.
type Redis struct {
	URL       Secret `yaml:"url"`       // redis://, rediss://, unix://, redis+sentinel:// or redis+cluster://
	Namespace string `yaml:"namespace"` // prefix of every key
}

// TLS names the certificate that clients see at Listen.
type TLS struct {
	Cert string `yaml:"cert"` // file with the certificate and its chain, PEM
	Key  string `yaml:"key"`  // file with its private key, PEM
}

// Log says what is logged and how.
type Log struct {
	Level  slog.Level `yaml:"level"`
	Format LogFormat  `yaml:"format"`
}

// LogFormat is how a log line is written.
type LogFormat string

// The formats.
const (
	Text LogFormat = "text"
	JSON LogFormat = "json"
)

// AccessLog says where each request is noted down, and how.
type AccessLog struct {
	File   string       `yaml:"file"` // opened again on SIGHUP and SIGUSR1
	Format AccessFormat `yaml:"format"`
	Query  bool         `yaml:"query"` // with the query, which may hold secrets
}

// AccessFormat is how a line of the access log is written.
type AccessFormat string

// The formats of the access log.
const (
	Combined   AccessFormat = "combined" // as Apache httpd and nginx write it
	AccessJSON AccessFormat = "json"
)

// Tracing says where spans are sent.
type Tracing struct {
	URL    *url.URL `yaml:"url"`    // of an OTLP/HTTP endpoint
	Sample float64  `yaml:"sample"` // share of the traces that begin here, 0 to 1
}

// Endpoint is where the spans go, in words that are safe to print: neither credentials nor parameters, which may hold a key.
func (t Tracing) Endpoint() string {
	return (&url.URL{Scheme: t.URL.Scheme, Host: t.URL.Host}).String()
}

// Address is where to listen, in the terms of [net.Listen].
type Address struct {
	Network string // "tcp" or "unix"
	Address string // host:port, or the socket's path
}

// String is the address as it is written in the file.
func (a Address) String() string {
	if a.Network == "unix" {
		return "unix:" + a.Address
	}
	return a.Address
}

func defaults() Config {
	return Config{
		Listen:            Address{"tcp", "127.0.0.1:8080"},
		Admin:             Address{"tcp", "127.0.0.1:8081"},
		Memory:            256 * MiB,
		MaxLag:            time.Second,
		MaxObject:         8 * MiB,
		BulkRows:          10_000,
		OriginTimeout:     30 * time.Second,
		FillTimeout:       60 * time.Second,
		OriginConcurrency: 256,
		OriginWait:        10 * time.Second,
		ConnectTimeout:    5 * time.Second,
		JoinTimeout:       5 * time.Second,
		HeaderTimeout:     10 * time.Second,
		BodyTimeout:       60 * time.Second,
		WriteTimeout:      10 * time.Minute,
		IdleTimeout:       75 * time.Second,
		StrictWait:        100 * time.Millisecond,
		Compress:          true,
		Log:               Log{Level: slog.LevelInfo, Format: Text},
		ShutdownTimeout:   10 * time.Second,
		MaxHeader:         64 * KiB,
		positions:         map[string]Pos{},
		fromEnv:           map[string]string{},
	}
}

// Load reads the file at path and does what [Parse] does.
func Load(path string, env func(string) (string, bool)) (*Config, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		cause := err
		if perr, ok := err.(*os.PathError); ok {
			cause = perr.Err
		}
		return nil, &Errors{
			Problems: []Problem{{File: path, Message: "cannot read the configuration: " + cause.Error() + "; name a readable file with -config"}},
			cause:    err,
		}
	}
	return Parse(path, text, env)
}

// maxFile is far above any sensible configuration, and small enough for anything that is given by mistake.
const maxFile = 1 << 20

// Parse reads a configuration from src; name is the file's name in messages. env looks up environment variables, as
// [os.LookupEnv] does; nil means that none is set. The error is an [*Errors] with every problem found.
func Parse(name string, src []byte, env func(string) (string, bool)) (*Config, error) {
	if len(src) > maxFile {
		return nil, NewErrors(newSource(name, "").problem(Pos{1, 1}, "the file is larger than 1 MiB; this is hardly a configuration"))
	}
	text := strings.ReplaceAll(strings.TrimPrefix(string(src), "\uFEFF"), "\r\n", "\n")
	r := &reader{src: newSource(name, text), env: env, anchors: map[string]*node{}}
	root := r.read(text)
	c := defaults()
	c.src = r.src
	d := &decoder{src: r.src, config: &c, problems: r.problems}
	switch {
	case root == nil && len(d.problems) > 0: // not YAML
		r.src.hideSuspects()
	case root == nil:
		d.fail(Pos{1, 1}, "the configuration is empty; it needs at least origin: http://HOST:PORT")
	default:
		d.root(root)
		d.check()
	}
	if err := d.errors(); err != nil {
		return nil, err
	}
	return &c, nil
}

// Pos returns where the value of a key stands, such as "postgres.slot", or else where the nearest key above it stands.
// For a key that the file doesn't give it is the file's beginning.
func (c *Config) Pos(key string) Pos {
	for key != "" {
		if pos, ok := c.positions[key]; ok {
			return pos
		}
		key = key[:max(strings.LastIndexByte(key, '.'), 0)]
	}
	return Pos{1, 1}
}

// Problem is a problem at a place in this configuration's file, for checks against what the file describes. The message says
// what is wrong and, after a semicolon, how to mend it. A zero pos is the file's beginning.
func (c *Config) Problem(pos Pos, format string, args ...any) Problem {
	return c.src.problem(pos, format, args...)
}

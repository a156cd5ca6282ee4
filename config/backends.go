package config

import (
	"net/url"
	"regexp"
	"strings"
	"time"
	"unicode"

	"walpurge/internal/identifier"
)

const (
	defaultName      = "walpurge"
	defaultReadAhead = 100 * time.Millisecond
)

func (d *decoder) postgres(n *node) {
	p := &Postgres{Slot: defaultName, Publication: defaultName, ReadAhead: defaultReadAhead}
	d.config.Postgres = p
	given := d.fields(n, "postgres", []field{
		{"url", func(n *node) { d.postgresURL(n, p) }},
		{"slot", func(n *node) {
			text, ok := d.text(n, "postgres.slot")
			switch {
			case !ok:
			case !slotName.MatchString(text):
				d.fail(n.pos, "postgres.slot: %s can't name a slot; use 1 to 63 of a-z, 0-9 and _", n.show())
			default:
				p.Slot = text
			}
		}},
		{"publication", func(n *node) {
			text, ok := d.text(n, "postgres.publication")
			switch {
			case !ok:
			case len(text) > identifier.MaxBytes || strings.ContainsRune(text, 0):
				d.fail(n.pos, "postgres.publication: %s can't name a publication; use at most %d bytes", n.show(), identifier.MaxBytes)
			default:
				p.Publication = text
			}
		}},
		{"read_ahead", func(n *node) { d.duration(n, "postgres.read_ahead", &p.ReadAhead, 0, maxLag) }},
		{"watch", func(n *node) {
			d.list(n, "postgres.watch", "a list of tables such as [{table: agents, columns: [id]}]", func(item *node) {
				dep, ok := d.dependency(item)
				if len(dep.Where) > 0 {
					d.fail(dep.Where[0].Pos, "postgres.watch knows no conditions, each response has its own; list the columns that they narrow by")
				}
				if ok {
					p.Watch = append(p.Watch, dep)
				}
			})
		}},
	})
	if _, ok := given["url"]; !ok && n.kind == mapping {
		d.fail(n.pos, "postgres.url is missing; add url: %s", examplePostgres)
	}
}

// The URL is never part of a message: it may hold a password, most likely so when it doesn't parse.
func (d *decoder) postgresURL(n *node, p *Postgres) {
	text, ok := d.text(n, "postgres.url")
	if !ok {
		return
	}
	d.notePassword(n)
	scheme, _, isURL := strings.Cut(text, "://")
	switch {
	case isURL && scheme != "postgres" && scheme != "postgresql" && !strings.ContainsAny(scheme, "= "):
		d.fail(n.pos, "postgres.url has a scheme of something else; write %s", examplePostgres)
	case (scheme == "postgres" || scheme == "postgresql") && isURL:
		if _, err := url.Parse(firstHost(text)); err != nil {
			d.fail(n.pos, "postgres.url is not a valid URL; percent-encode special characters in the user, password and database")
			return
		}
		p.URL = Secret(text)
	case !isDSN(text):
		d.fail(n.pos, "postgres.url is neither a URL nor key=value pairs; write %s", examplePostgres)
	default:
		p.URL = Secret(text)
	}
}

// firstHost cuts a list of hosts, which libpq allows and net/url doesn't, to its first.
func firstHost(text string) string {
	scheme, rest, _ := strings.Cut(text, "://")
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	user, hosts := "", rest[:end]
	if at := strings.LastIndexByte(hosts, '@'); at >= 0 {
		user, hosts = hosts[:at+1], hosts[at+1:]
	}
	first, _, _ := strings.Cut(hosts, ",")
	return scheme + "://" + user + first + rest[end:]
}

var dsnPair = regexp.MustCompile(`^\s*([a-z_]+)\s*=\s*(?:'(?:[^'\\]|\\.)*'|[^\s'\\]*(?:\\.[^\s'\\]*)*)(?:\s+|$)`)

// isDSN reports whether text is a list of key=value pairs (PostgreSQL documentation, section 34.1.1.1).
func isDSN(text string) bool {
	for text != "" {
		m := dsnPair.FindString(text)
		if m == "" {
			return false
		}
		text = text[len(m):]
	}
	return true
}

func (d *decoder) notePassword(n *node) {
	for _, span := range passwordSpans(n.raw) {
		d.noteSecret(n.raw[span[0]:span[1]])
	}
}

func (d *decoder) redis(n *node) {
	r := &Redis{Namespace: defaultName}
	d.config.Redis = r
	given := d.fields(n, "redis", []field{
		{"url", func(n *node) { d.redisURL(n, r) }},
		{"namespace", func(n *node) {
			text, ok := d.text(n, "redis.namespace")
			switch {
			case !ok:
			case !namespaceName.MatchString(text):
				d.fail(n.pos, "redis.namespace: %s can't be a prefix of keys; use 1 to 64 letters, digits and _.:-", n.show())
			default:
				r.Namespace = text
			}
		}},
	})
	if _, ok := given["url"]; !ok && n.kind == mapping {
		d.fail(n.pos, "redis.url is missing; add url: redis://127.0.0.1:6379/0")
	}
}

// redisForms are the schemes of redis.url, by which one server, one behind Sentinel and a cluster are told apart.
var redisForms = map[string]string{
	"redis": "", "rediss": "", "unix": "",
	"redis+sentinel": "sentinel", "rediss+sentinel": "sentinel", "redis+cluster": "cluster", "rediss+cluster": "cluster",
}

// The URL is never part of a message, as that of postgres.
func (d *decoder) redisURL(n *node, r *Redis) {
	text, ok := d.text(n, "redis.url")
	if !ok {
		return
	}
	d.notePassword(n)
	scheme, _, _ := strings.Cut(text, "://")
	form, known := redisForms[scheme]
	u, err := url.Parse(firstHost(text))
	switch {
	case !strings.Contains(text, "://") || !known:
		d.fail(n.pos, "redis.url has no scheme that is known; write redis://, rediss:// (TLS), unix://, redis+sentinel:// or redis+cluster://")
	case err != nil || strings.IndexFunc(text, unicode.IsSpace) >= 0:
		d.fail(n.pos, "redis.url is not a valid URL; percent-encode special characters in the user and password")
	case u.Scheme == "unix" && u.Path == "":
		d.fail(n.pos, "redis.url names no socket; write unix:///run/redis.sock")
	case u.Scheme == "unix":
		r.URL = Secret(text)
	case form == "" && strings.Contains(hostList(text), ","):
		d.fail(n.pos, "redis.url names several servers; write redis+sentinel://HOST,HOST/MASTER for Sentinel or redis+cluster://HOST,HOST for a cluster")
	case !validHosts(hostList(text)):
		d.fail(n.pos, "redis.url has an address that is not HOST:PORT; write %s", exampleRedis(form))
	case form == "cluster" && (strings.Trim(u.Path, "/") != "" || u.RawQuery != ""):
		d.fail(n.pos, "redis.url names a database or a parameter, which a cluster doesn't have; write %s", exampleRedis(form))
	case form == "sentinel":
		d.sentinelURL(n, r, u)
	default:
		r.URL = Secret(text)
	}
}

var masterPath = regexp.MustCompile(`^/[^/]+(/[0-9]{0,4})?$`)

func (d *decoder) sentinelURL(n *node, r *Redis, u *url.URL) {
	if !masterPath.MatchString(u.Path) {
		d.fail(n.pos, "redis.url names no master after the sentinels' addresses, or something behind it that is no database; write %s", exampleRedis("sentinel"))
		return
	}
	for name := range u.Query() {
		if name != "sentinel_username" && name != "sentinel_password" {
			d.fail(n.pos, "redis.url has a parameter that is not known; there is sentinel_username and sentinel_password")
			return
		}
	}
	r.URL = Secret(n.text)
}

func exampleRedis(form string) string {
	switch form {
	case "sentinel":
		return "redis+sentinel://10.0.0.1:26379,10.0.0.2:26379/mymaster/0"
	case "cluster":
		return "redis+cluster://10.0.0.1:6379,10.0.0.2:6379"
	}
	return "redis://127.0.0.1:6379/0"
}

// hostList returns what stands between the credentials and the path.
func hostList(text string) string {
	_, rest, _ := strings.Cut(text, "://")
	if end := strings.IndexAny(rest, "/?#"); end >= 0 {
		rest = rest[:end]
	}
	return rest[strings.LastIndexByte(rest, '@')+1:]
}

func validHosts(list string) bool {
	for host := range strings.SplitSeq(list, ",") {
		u, err := url.Parse("redis://" + host)
		if err != nil || u.Hostname() == "" || !validPort(u) {
			return false
		}
	}
	return true
}

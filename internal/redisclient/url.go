package redisclient

import (
	"net"
	"net/url"
	"strconv"
	"strings"
	"unicode"
)

// URLError is what is wrong with a Redis URL. It holds nothing of the URL itself: the one that most needs hiding is the one
// that doesn't parse.
type URLError struct {
	what string // begins with a verb; after a semicolon, the mend
}

// Error implements error.
func (e *URLError) Error() string { return e.Of("the Redis URL") }

// Of is the sentence about the URL that is called name.
func (e *URLError) Of(name string) string { return name + " " + e.what }

// forms are the schemes, by which one server, one behind Sentinel and a cluster are told apart.
var forms = map[string]string{
	"redis": "", "rediss": "", "unix": "",
	"redis+sentinel": "sentinel", "rediss+sentinel": "sentinel", "redis+cluster": "cluster", "rediss+cluster": "cluster",
}

const encode = "percent-encode special characters in the user and password, such as @ as %40 and / as %2F"

// known are the parameters of a URL of one server, as the library reads them.
var known = map[string]bool{
	"db": true, "protocol": true, "client_name": true, "max_retries": true, "min_retry_backoff": true, "max_retry_backoff": true, "dial_timeout": true,
	"read_timeout": true, "write_timeout": true, "pool_fifo": true, "pool_size": true, "pool_timeout": true, "min_idle_conns": true, "max_idle_conns": true,
	"max_active_conns": true, "max_concurrent_dials": true, "pipeline_pool_size": true, "pipeline_read_buffer_size": true, "pipeline_write_buffer_size": true,
	"conn_max_idle_time": true, "idle_timeout": true, "conn_max_lifetime": true, "max_conn_age": true, "conn_max_lifetime_jitter": true, "skip_verify": true,
}

// address is a URL taken apart.
type address struct {
	scheme, form string
	hosts        string   // HOST:PORT,HOST:PORT
	u            *url.URL // with one host of ours in the place of those
}

// Check finds what is wrong with a URL of [New]. The error is a [*URLError].
func Check(text string) error {
	_, err := take(text)
	if err != nil {
		return err
	}
	return nil
}

// take takes the URL apart. What can be no address is most likely the tail of a password: nobody looks it up.
func take(text string) (*address, *URLError) {
	wrong := func(what string) (*address, *URLError) { return nil, &URLError{what} }
	scheme, rest, isURL := strings.Cut(text, "://")
	form, ok := forms[scheme]
	if !isURL || !ok {
		return wrong("has no scheme that is known; write redis://, rediss:// (TLS), unix://, redis+sentinel:// or redis+cluster://")
	}
	authority, path := rest, ""
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		authority, path = rest[:i], rest[i:]
	}
	user, hosts, both := strings.Cut(authority, "@")
	if !both {
		user, hosts = "", authority
	} else {
		user += "@"
	}
	if strings.Contains(hosts, "@") || strings.Contains(path, "@") {
		return wrong("has an @ or a / in the user or password as it is; percent-encode them: @ is %40 and / is %2F, and : is %3A, ? is %3F, # is %23, % is %25")
	}
	if strings.IndexFunc(text, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }) >= 0 {
		return wrong("is not a valid URL; " + encode)
	}
	u, err := url.Parse("redis://" + user + "host" + path)
	if err != nil {
		return wrong("is not a valid URL; " + encode)
	}
	a := &address{scheme, form, hosts, u}
	if u.Fragment != "" || strings.Contains(path, "#") {
		return wrong("has something behind a #, where nothing belongs; " + encode)
	}
	switch {
	case scheme == "unix" && u.Path == "":
		return wrong("names no socket; write unix:///run/redis.sock")
	case scheme == "unix" && hosts != "":
		return wrong("names a host before the socket's path; write unix:///run/redis.sock")
	case scheme == "unix":
		return a, a.parameters()
	case form == "" && strings.Contains(hosts, ","):
		return wrong("names several servers; write redis+sentinel://HOST,HOST/MASTER for Sentinel or redis+cluster://HOST,HOST for a cluster")
	case !validHosts(hosts):
		return wrong("has an address that is not HOST:PORT; write " + example(form))
	}
	switch {
	case form == "cluster" && (strings.Trim(u.Path, "/") != "" || u.RawQuery != ""):
		return wrong("names a database or a parameter, which a cluster doesn't have; write " + example(form))
	case form == "cluster":
		return a, nil
	case form == "sentinel":
		return a, a.sentinel()
	case !validDatabase(strings.Trim(u.Path, "/")):
		return wrong("has a path that is no database's number; write " + example(form))
	}
	return a, a.parameters()
}

// parameters checks those of one server.
func (a *address) parameters() *URLError {
	values, err := url.ParseQuery(a.u.RawQuery)
	if err != nil {
		return &URLError{"has a parameter that is not percent-encoded; write % as %25 and ; as %3B"}
	}
	for name := range values {
		if !known[name] || name == "skip_verify" && a.scheme != "rediss" {
			return &URLError{"has a parameter that is not known; take it out: a database stands in the path or as db, and TLS is rediss://"}
		}
	}
	return nil
}

// sentinel checks /MASTER/DB and the sentinels' credentials.
func (a *address) sentinel() *URLError {
	master, db, more := strings.Cut(strings.TrimPrefix(a.u.Path, "/"), "/")
	if master == "" || more && (!validDatabase(db) || len(db) > 4) {
		return &URLError{"names no master after the sentinels' addresses, or something behind it that is no database; write " + example("sentinel")}
	}
	values, err := url.ParseQuery(a.u.RawQuery)
	for name := range values {
		if name != "sentinel_username" && name != "sentinel_password" {
			return &URLError{"has a parameter that is not known; there is sentinel_username and sentinel_password"}
		}
	}
	if err != nil {
		return &URLError{"has a parameter that is not percent-encoded; write % as %25 and ; as %3B"}
	}
	return nil
}

func example(form string) string {
	switch form {
	case "sentinel":
		return "redis+sentinel://10.0.0.1:26379,10.0.0.2:26379/mymaster/0"
	case "cluster":
		return "redis+cluster://10.0.0.1:6379,10.0.0.2:6379"
	}
	return "redis://127.0.0.1:6379/0"
}

func validDatabase(s string) bool {
	_, err := strconv.ParseUint(s, 10, 31)
	return s == "" || err == nil
}

func validHosts(list string) bool {
	for host := range strings.SplitSeq(list, ",") {
		u, err := url.Parse("redis://" + host)
		if err != nil || u.Hostname() == "" || u.User != nil || u.Path != "" {
			return false
		}
		if port, err := strconv.ParseUint(u.Port(), 10, 16); u.Port() != "" && (err != nil || port == 0) || strings.HasSuffix(host, ":") {
			return false
		}
		if net.ParseIP(u.Hostname()) == nil && strings.IndexFunc(u.Hostname(), func(r rune) bool {
			return r != '-' && r != '.' && r != '_' && r != '%' && r != ':' && !unicode.IsLetter(r) && !unicode.IsDigit(r) // with an IPv6 zone
		}) >= 0 {
			return false
		}
	}
	return true
}

// Describe says where a URL leads, in words that are safe to print.
func Describe(text string) string {
	a, err := take(text)
	switch {
	case err != nil:
		return "[not readable]"
	case a.scheme == "unix":
		return "unix://" + a.u.EscapedPath()
	}
	user := ""
	if name := a.u.User.Username(); name != "" && strings.IndexFunc(name, func(r rune) bool {
		return r != '-' && r != '.' && r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r)
	}) < 0 {
		user = name + "@"
	}
	return a.scheme + "://" + user + a.hosts + a.u.EscapedPath()
}

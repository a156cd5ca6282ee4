// Package redisclient makes the clients of the Redis tier and of the relay: a
// standalone server, one behind Sentinel, or a cluster, by the form of one URL.
package redisclient

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Limits are what a client's user bears.
type Limits struct {
	Wait     time.Duration // for each of connecting, reading, writing and getting a connection
	Retries  int           // of a command that failed; 0: none
	PoolSize int           // connections to each server; 0: the library's default
}

// New makes a client from a URL:
//
//	redis://USER:PASSWORD@HOST:PORT/DB                                one server
//	unix://USER:PASSWORD@/PATH?db=DB                                  the same by a socket
//	redis+sentinel://USER:PASSWORD@HOST:PORT,HOST:PORT/MASTER/DB      what the sentinels call MASTER
//	redis+cluster://USER:PASSWORD@HOST:PORT,HOST:PORT                 a cluster, by some of its nodes
//
// rediss in the place of redis means TLS, to sentinels too. The sentinels' own
// credentials are the parameters sentinel_username and sentinel_password. An
// error never holds the password.
//
// In a cluster, being sent to another node is no retry; but there the library
// can't be told to follow without repeating what got no answer, so Retries of
// 0 doesn't hold: who must not do a thing twice has to notice it.
func New(text string, l Limits) (redis.UniversalClient, error) {
	scheme, _, _ := strings.Cut(text, "://")
	switch scheme {
	case "redis", "rediss", "unix":
		return single(text, l)
	case "redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster":
	default:
		return nil, errors.New("the Redis URL has no scheme that is known")
	}
	o, err := parse(text)
	if err != nil {
		return nil, err
	}
	o.ContextTimeoutEnabled = true
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = l.Wait, l.Wait, l.Wait, l.Wait
	o.MaxRetries, o.DialerRetries, o.PoolSize = retries(l.Retries), dials(l.Retries), l.PoolSize
	o.MaxRedirects = redirects
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return redis.NewUniversalClient(o), nil
}

// redirects is how often a command goes on to another node of a cluster: once
// when its slot has moved, and once more when it is just being moved.
const redirects = 2

// retries in the library's terms, where 0 is its default.
func retries(n int) int {
	if n == 0 {
		return -1
	}
	return n
}

// dials is how often connecting is tried, in the library's terms.
func dials(retries int) int {
	if retries == 0 {
		return 1
	}
	return 0 // its default
}

func single(text string, l Limits) (redis.UniversalClient, error) {
	o, err := redis.ParseURL(text)
	if err != nil {
		var wrong *url.Error
		if errors.As(err, &wrong) {
			err = wrong.Err // without the URL
		}
		return nil, fmt.Errorf("parse Redis URL: %w", err)
	}
	o.ContextTimeoutEnabled = true
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = l.Wait, l.Wait, l.Wait, l.Wait
	o.MaxRetries, o.DialerRetries = retries(l.Retries), dials(l.Retries)
	if l.PoolSize > 0 {
		o.PoolSize, o.MinIdleConns = l.PoolSize, 0
	}
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return redis.NewClient(o), nil
}

// parse reads a URL with a list of hosts, which net/url doesn't.
func parse(text string) (*redis.UniversalOptions, error) {
	scheme, rest, _ := strings.Cut(text, "://")
	encrypted, kind := strings.HasPrefix(scheme, "rediss"), scheme[strings.IndexByte(scheme, '+')+1:]
	authority, path := rest, ""
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		authority, path = rest[:i], rest[i:]
	}
	user, hosts := "", authority
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		user, hosts = authority[:i+1], authority[i+1:]
	}
	u, err := url.Parse("redis://" + user + "host" + path)
	if err != nil {
		return nil, errors.New("parse Redis URL: percent-encode special characters in the user and password")
	}
	o := &redis.UniversalOptions{IsClusterMode: kind == "cluster"}
	o.Username = u.User.Username()
	o.Password, _ = u.User.Password()
	if encrypted {
		o.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12} // the name is that of each server
	}
	port := "6379"
	if kind == "sentinel" {
		port = "26379"
	}
	if o.Addrs, err = addresses(hosts, port); err != nil {
		return nil, err
	}
	if kind == "cluster" {
		if strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
			return nil, errors.New("parse Redis URL: a cluster has no databases and no parameters")
		}
		return o, nil
	}
	return o, sentinel(o, u)
}

// sentinel reads /MASTER/DB and the sentinels' credentials.
func sentinel(o *redis.UniversalOptions, u *url.URL) error {
	master, db, _ := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
	if master == "" {
		return errors.New("parse Redis URL: after the sentinels' addresses, name the master: /mymaster")
	}
	o.MasterName = master
	if db != "" {
		n, err := strconv.ParseUint(db, 10, 16)
		if err != nil {
			return errors.New("parse Redis URL: the database after the master's name is not a number")
		}
		o.DB = int(n)
	}
	for name, values := range u.Query() {
		switch name {
		case "sentinel_username":
			o.SentinelUsername = values[0]
		case "sentinel_password":
			o.SentinelPassword = values[0]
		default:
			return fmt.Errorf("parse Redis URL: unknown parameter %q", name)
		}
	}
	return nil
}

// addresses splits HOST:PORT,HOST; port is the one to take where none is given.
func addresses(hosts, port string) ([]string, error) {
	var list []string
	for h := range strings.SplitSeq(hosts, ",") {
		u, err := url.Parse("redis://" + h)
		if err != nil || u.Hostname() == "" || u.User != nil || u.Path != "" {
			return nil, errors.New("parse Redis URL: one of the addresses is not HOST:PORT")
		}
		p := u.Port()
		if p == "" {
			p = port
		}
		list = append(list, net.JoinHostPort(u.Hostname(), p))
	}
	return list, nil
}

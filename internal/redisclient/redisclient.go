// Package redisclient makes the clients of the Redis tier and of the relay: a
// standalone server, one behind Sentinel, or a cluster, by the form of one URL.
package redisclient

import (
	"context"
	"crypto/tls"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"walpurge/internal/loopback"
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
	a, wrong := take(text)
	switch {
	case wrong != nil:
		return nil, wrong
	case a.form == "":
		return single(text, l)
	}
	o := parse(a)
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
	if err != nil { // the library's error quotes its input
		return nil, &URLError{"has a parameter whose value can't be read; write a number, a duration such as 5s, true or false, as the parameter wants it"}
	}
	if o.Network == "tcp" {
		o.Dialer = dialer(o.TLSConfig)
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

// dialer connects to a server, by either loopback address where its name is localhost.
func dialer(config *tls.Config) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := loopback.Dial(ctx, &net.Dialer{KeepAlive: keepAlive}, network, address)
		if err != nil || config == nil {
			return conn, err
		}
		own := config
		if own.ServerName == "" {
			own = config.Clone()
			own.ServerName, _, _ = net.SplitHostPort(address)
		}
		encrypted := tls.Client(conn, own)
		if err := encrypted.HandshakeContext(ctx); err != nil {
			_ = conn.Close()
			return nil, err
		}
		return encrypted, nil
	}
}

// keepAlive is the library's own.
const keepAlive = 5 * time.Minute

// parse makes the library's options of a URL with a list of hosts, which the library doesn't read.
func parse(a *address) *redis.UniversalOptions {
	o := &redis.UniversalOptions{IsClusterMode: a.form == "cluster"}
	o.Username = a.u.User.Username()
	o.Password, _ = a.u.User.Password()
	if strings.HasPrefix(a.scheme, "rediss") {
		o.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12} // the name is that of each server
	}
	o.Dialer = dialer(o.TLSConfig)
	port := "6379"
	if a.form == "sentinel" {
		port = "26379"
		master, db, _ := strings.Cut(strings.TrimPrefix(a.u.Path, "/"), "/")
		o.MasterName = master
		o.DB, _ = strconv.Atoi(db) // 0 where none is given
		o.SentinelUsername, o.SentinelPassword = a.u.Query().Get("sentinel_username"), a.u.Query().Get("sentinel_password")
	}
	for host := range strings.SplitSeq(a.hosts, ",") {
		u := url.URL{Host: host}
		p := u.Port()
		if p == "" {
			p = port
		}
		o.Addrs = append(o.Addrs, net.JoinHostPort(u.Hostname(), p))
	}
	return o
}

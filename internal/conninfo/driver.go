package conninfo

import (
	"context"
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"walpurge/internal/loopback"
)

// errDriver stands for an error of the driver, which may quote its input.
var errDriver = wrong("is not taken by the PostgreSQL driver; write it as a URL such as " + Example + " and add parameters one by one")

// Connection is the driver's configuration of a connection.
func (i *Info) Connection() (*pgconn.Config, error) {
	servers := i.order()
	c, err := pgconn.ParseConfig(i.dsn(servers))
	if err != nil {
		return nil, errDriver
	}
	i.finish(c, servers)
	return c, nil
}

// Client is the driver's configuration of a connection for queries.
func (i *Info) Client() (*pgx.ConnConfig, error) {
	servers := i.order()
	c, err := pgx.ParseConfig(i.dsn(servers))
	if err != nil {
		return nil, errDriver
	}
	i.finish(&c.Config, servers)
	return c, nil
}

// Pool is the driver's configuration of a pool of connections.
func (i *Info) Pool() (*pgxpool.Config, error) {
	servers := i.order()
	c, err := pgxpool.ParseConfig(i.dsn(servers, pool...))
	if err != nil {
		return nil, errDriver
	}
	i.finish(&c.ConnConfig.Config, servers)
	return c, nil
}

// Given tells whether the string has the parameter.
func (i *Info) Given(name string) bool { return i.has(name) }

// order is the order in which the servers are tried.
func (i *Info) order() []server {
	servers := slices.Clone(i.servers)
	if i.get("load_balance_hosts") == "random" {
		rand.Shuffle(len(servers), func(a, b int) { servers[a], servers[b] = servers[b], servers[a] })
	}
	return servers
}

// dsn is a connection string of what the driver does itself. It says all that the driver would otherwise read from the
// environment on its own account.
func (i *Info) dsn(servers []server, more ...string) string {
	values := map[string]string{}
	for name, s := range i.settings {
		if parameters[name].use == driver || slices.Contains(more, name) {
			values[name] = s.value
		}
	}
	var hosts, ports []string
	for _, s := range servers {
		host := s.host
		if s.address != "" && (host == "" || strings.HasPrefix(host, "/")) {
			host = s.address
		}
		hosts, ports = append(hosts, host), append(ports, strconv.Itoa(int(s.port)))
	}
	values["host"], values["port"] = strings.Join(hosts, ","), strings.Join(ports, ",")
	values["connect_timeout"] = strconv.Itoa(max(i.number("connect_timeout"), 0)) // less than nothing is without a limit, too
	if !i.has("sslcertmode") {
		values["sslcertmode"] = "allow" // the driver minds an empty variable
	}
	if !i.encrypted() { // libpq doesn't look at them then
		for _, name := range []string{"sslrootcert", "sslcert", "sslkey"} {
			values[name] = ""
		}
	}
	if i.get("service") != "" { // the driver reads it again if the environment has it
		values["service"], values["servicefile"] = i.get("service"), i.get("servicefile")
	}
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(values)) {
		b.WriteString(name + "='" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(values[name]) + "' ")
	}
	return b.String()
}

// finish does what the driver doesn't.
func (i *Info) finish(c *pgconn.Config, servers []server) {
	c.RuntimeParams = map[string]string{}
	for name, s := range i.settings {
		if parameters[name].use == runtime && s.value != "" {
			c.RuntimeParams[name] = s.value
		}
	}
	if name := i.get("fallback_application_name"); name != "" && c.RuntimeParams["application_name"] == "" {
		c.RuntimeParams["application_name"] = name
	}
	low, high := tlsVersions[strings.ToLower(i.get("ssl_min_protocol_version"))], tlsVersions[strings.ToLower(i.get("ssl_max_protocol_version"))]
	if c.TLSConfig != nil {
		c.TLSConfig.MinVersion, c.TLSConfig.MaxVersion = low, high
	}
	for _, f := range c.Fallbacks {
		if f.TLSConfig != nil {
			f.TLSConfig.MinVersion, f.TLSConfig.MaxVersion = low, high
		}
	}
	c.LookupFunc = lookup(servers, c.LookupFunc)
}

// lookup finds a host's addresses: those of hostaddr, or those that its name has.
func lookup(servers []server, resolve pgconn.LookupFunc) pgconn.LookupFunc {
	fixed := map[string][]string{}
	for _, s := range servers {
		if s.address != "" {
			fixed[s.host] = append(fixed[s.host], s.address)
		}
	}
	return func(ctx context.Context, host string) ([]string, error) {
		if addresses := fixed[host]; len(addresses) > 0 {
			return addresses, nil
		}
		addresses, err := resolve(ctx, host)
		if loopback.Names(host) {
			return loopback.Complete(addresses), nil
		}
		return addresses, err
	}
}

// KeepAlive is how a dead peer is found: own, or what the string says where that finds it sooner.
func (i *Info) KeepAlive(own net.KeepAliveConfig) net.KeepAliveConfig {
	for _, o := range []struct {
		name string
		into *time.Duration
	}{{"keepalives_idle", &own.Idle}, {"keepalives_interval", &own.Interval}} {
		if n := i.number(o.name); n > 0 {
			*o.into = min(*o.into, time.Duration(n)*time.Second)
		}
	}
	if n := i.number("keepalives_count"); n > 0 {
		own.Count = min(own.Count, n)
	}
	return own
}

// UserTimeout is after how long without an acknowledgement a peer is given up: own, or what the string says where that is sooner.
func (i *Info) UserTimeout(own time.Duration) time.Duration {
	if n := i.number("tcp_user_timeout"); n > 0 {
		return min(own, time.Duration(n)*time.Millisecond)
	}
	return own
}

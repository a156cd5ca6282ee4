package primary

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"walpurge/internal/conninfo"
	"walpurge/internal/pgerror"
)

const (
	ApplicationName = "walpurge" // of the connections, in pg_stat_activity

	ConnectTimeout = 10 * time.Second // for a connection to be made
	QueryTimeout   = 5 * time.Second  // a server that takes longer for a tiny query counts as hung
	deadPeer       = 15 * time.Second // until a peer that acknowledges nothing is given up
	readBuffer     = 256 << 10        // of the replication connection, in bytes
)

// Options say how the primary is reached.
type Options struct {
	URL  string          // of the primary itself, not of a pooler
	Dial pgconn.DialFunc // makes the connections; nil: by TCP or a Unix socket
}

// keepAlive finds a peer that is gone while nothing is sent.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: deadPeer / 3, Interval: deadPeer / 3, Count: 3}

// read reads the URL, and what the environment adds to it.
func (o Options) read() (*conninfo.Info, error) {
	info, err := conninfo.Parse(o.URL)
	if err != nil {
		return nil, err
	}
	return info, info.Primary()
}

// ordinary is the configuration of a connection for queries.
func (o Options) ordinary() (*pgx.ConnConfig, error) {
	info, err := o.read()
	if err != nil {
		return nil, err
	}
	conf, err := info.Client()
	if err != nil {
		return nil, err
	}
	o.dialer(&conf.Config, info)
	ours(conf.RuntimeParams, map[string]string{
		"application_name":  ApplicationName,
		"client_encoding":   "UTF8",
		"search_path":       "pg_catalog",
		"statement_timeout": "0",
		"jit":               "off", // a look takes 0.3 ms, and to compile it takes 200 (on partitioned tables, estimates are high)
	})
	return conf, nil
}

// replication is the configuration of the connection that receives the log.
// Rows arrive as text in the formats that these parameters fix, whatever the
// role, the database or the server prefers.
func (o Options) replication() (*pgconn.Config, *Pace, error) {
	info, err := o.read()
	if err != nil {
		return nil, nil, err
	}
	conf, err := info.Connection()
	if err != nil {
		return nil, nil, err
	}
	o.dialer(conf, info)
	ours(conf.RuntimeParams, map[string]string{
		"replication":        "database",
		"application_name":   ApplicationName,
		"client_encoding":    "UTF8",
		"search_path":        "pg_catalog",
		"DateStyle":          "ISO",
		"IntervalStyle":      "postgres",
		"TimeZone":           "UTC",
		"extra_float_digits": "3",
		"bytea_output":       "hex",
		"statement_timeout":  "0",
	})
	p := &Pace{}
	dial := conf.DialFunc
	conf.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return newPacedConn(conn, p), nil
	}
	return conf, p, nil
}

// ours sets parameters of the session in the place of those that the URL or the environment gives, however these are spelled:
// the server would take the last of DateStyle and datestyle.
func ours(params, own map[string]string) {
	for name := range own {
		delete(params, strings.ToLower(name))
	}
	maps.Copy(params, own)
}

func (o Options) dialer(conf *pgconn.Config, info *conninfo.Info) {
	if conf.ConnectTimeout == 0 || conf.ConnectTimeout > ConnectTimeout {
		conf.ConnectTimeout = ConnectTimeout
	}
	if o.Dial != nil {
		conf.DialFunc = o.Dial
		return
	}
	d := &net.Dialer{
		KeepAliveConfig: info.KeepAlive(keepAlive),
		Control: func(network, address string, raw syscall.RawConn) error {
			if !strings.HasPrefix(network, "tcp") {
				return nil
			}
			return userTimeout(raw, info.UserTimeout(deadPeer))
		},
	}
	conf.DialFunc = d.DialContext
}

// Connect opens a connection for queries.
func (o Options) Connect(ctx context.Context) (*pgx.Conn, error) {
	conf, err := o.ordinary()
	if err != nil {
		return nil, err
	}
	conn, err := pgx.ConnectConfig(ctx, conf)
	if err != nil {
		return nil, fmt.Errorf("connect to PostgreSQL: %w", err)
	}
	return conn, nil
}

// ConnectReplication opens a connection for replication commands. It is read at
// the pace that is returned.
func (o Options) ConnectReplication(ctx context.Context) (*pgconn.PgConn, *Pace, error) {
	conf, p, err := o.replication()
	if err != nil {
		return nil, nil, err
	}
	conn, err := pgconn.ConnectConfig(ctx, conf)
	if err != nil {
		return nil, nil, fmt.Errorf("connect for replication: %w", explainReplication(err))
	}
	return conn, p, nil
}

// explainReplication adds the mend to an error that a person can do something
// about.
func explainReplication(err error) error {
	var answer *pgconn.PgError
	if !errors.As(err, &answer) {
		return err
	}
	switch answer.Code {
	case "28000": // invalid_authorization_specification
		return fmt.Errorf("%w; let the role in for this database in pg_hba.conf and give it REPLICATION", err)
	case "42501": // insufficient_privilege
		return fmt.Errorf("%w; give the role REPLICATION", err)
	case "53300": // too_many_connections
		return fmt.Errorf("%w; raise max_wal_senders and restart PostgreSQL, or stop another replica", err)
	case "28P01", "3D000", "55000":
		return err
	}
	if pgerror.Passes(err) { // the server itself, which is out of something or on its way
		return err
	}
	return fmt.Errorf("%w; poolers such as PgBouncer and Supavisor don't carry replication: use a direct URL of the primary", err)
}

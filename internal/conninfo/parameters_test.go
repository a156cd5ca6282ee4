package conninfo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"walpurge/dev/testbed"
)

func TestMain(m *testing.M) {
	for name := range parameters { // the tests' own environment says nothing
		if env := parameters[name].env; env != "" {
			_ = os.Unsetenv(env)
		}
	}
	testbed.Main(m)
}

// TestEveryParameterOfLibpqIsTakenOrNamed goes through the parameters of libpq 14 to 18, with values that psql takes. Each is
// taken, and a session works with it, or one sentence names it, why it isn't, and what to do.
func TestEveryParameterOfLibpqIsTakenOrNamed(t *testing.T) {
	host, port, database := place(t)
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	service := filepath.Join(t.TempDir(), "services")
	if err := os.WriteFile(service, []byte("[shop]\ndbname="+database+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PGSERVICEFILE", service)
	const psql = 15 // what is newer psql can't be asked about
	for _, c := range []struct {
		parameter string
		since     int
		refused   string // part of the sentence
	}{
		{parameter: "hostaddr=127.0.0.1"},
		{parameter: "passfile=" + empty},
		{parameter: "service=shop"},
		{parameter: "connect_timeout=5"},
		{parameter: "connect_timeout=-1"},
		{parameter: "connect_timeout=' 5 '"},
		{parameter: "client_encoding=LATIN1"},
		{parameter: "client_encoding=auto"},
		{parameter: "options='-c geqo=off'"},
		{parameter: "application_name=shop"},
		{parameter: "fallback_application_name=shop"},
		{parameter: "keepalives=1"},
		{parameter: "keepalives_idle=5"},
		{parameter: "keepalives_interval=5"},
		{parameter: "keepalives_count=3"},
		{parameter: "tcp_user_timeout=5000"},
		{parameter: "sslmode=disable"},
		{parameter: "sslmode=allow"},
		{parameter: "sslmode=prefer"},
		{parameter: "sslnegotiation=postgres", since: 17},
		{parameter: "sslcompression=0"},
		{parameter: "sslcompression=1"},
		{parameter: "sslcertmode=allow", since: 16},
		{parameter: "sslcertmode=disable", since: 16},
		{parameter: "sslpassword=x"},
		{parameter: "sslrootcert=/nowhere sslmode=disable"},
		{parameter: "sslcert=/nowhere sslkey=/nowhere sslmode=disable"},
		{parameter: "sslsni=1"},
		{parameter: "sslsni=0"},
		{parameter: "ssl_min_protocol_version=TLSv1.2"},
		{parameter: "ssl_max_protocol_version=tlsv1.3"},
		{parameter: "ssl_min_protocol_version=''"},
		{parameter: "gssencmode=disable"},
		{parameter: "gssencmode=prefer"},
		{parameter: "krbsrvname=postgres"},
		{parameter: "gsslib=gssapi"},
		{parameter: "gssdelegation=0", since: 17},
		{parameter: "channel_binding=disable"},
		{parameter: "channel_binding=prefer"},
		{parameter: "require_auth=none", since: 16},
		{parameter: "require_auth=!password,!md5", since: 16},
		{parameter: "min_protocol_version=3.0", since: 18},
		{parameter: "max_protocol_version=3.0", since: 18},
		{parameter: "target_session_attrs=any"},
		{parameter: "target_session_attrs=read-write"},
		{parameter: "target_session_attrs=primary"},
		{parameter: "target_session_attrs=prefer-standby"},
		{parameter: "load_balance_hosts=random", since: 16},
		{parameter: "load_balance_hosts=disable", since: 16},
		{parameter: "replication=false"},

		{parameter: "sslcrl=/nowhere", refused: "sslcrl, which is not supported"},
		{parameter: "sslcrldir=/nowhere", refused: "sslcrldir, which is not supported"},
		{parameter: "requirepeer=postgres", refused: "requirepeer, which is not supported"},
		{parameter: "sslkeylogfile=/nowhere", since: 18, refused: "sslkeylogfile, which is not supported"},
		{parameter: "scram_client_key=x", since: 18, refused: "scram_client_key, which is not supported"},
		{parameter: "scram_server_key=x", since: 18, refused: "scram_server_key, which is not supported"},
		{parameter: "oauth_issuer=x", since: 18, refused: "oauth_issuer, which is not supported"},
		{parameter: "oauth_client_id=x", since: 18, refused: "oauth_client_id, which is not supported"},
		{parameter: "oauth_client_secret=x", since: 18, refused: "oauth_client_secret, which is not supported"},
		{parameter: "oauth_scope=x", since: 18, refused: "oauth_scope, which is not supported"},

		// What psql refuses as well, or can't do.
		{parameter: "gssencmode=require", since: 99, refused: "gssencmode=require, which is not supported"},
		{parameter: "sslmode=no-verify", since: 99, refused: "sslmode=require"},
		{parameter: "sslmode=''", since: 99, refused: "sslmode"},
		{parameter: "sslrootcert=/nowhere", since: 99, refused: "isn't there"},
		{parameter: "sslmode=verify-full sslrootcert=/nowhere", since: 99, refused: "isn't there"},
		{parameter: "sslcert=/nowhere sslkey=/nowhere", since: 99, refused: "isn't there"},
		{parameter: "sslmode=require sslrootcert=system", since: 99, refused: "verify-full"},
		{parameter: "sslnegotiation=direct sslmode=prefer", since: 99, refused: "sslmode=require"},
		{parameter: "port=abc", since: 99, refused: "no number from 1 to 65535"},
		{parameter: "port=0", since: 99, refused: "no number"},
		{parameter: "port=70000", since: 99, refused: "no number"},
		{parameter: "port=1,2,3", since: 99, refused: "number of ports"},
		{parameter: "hostaddr=shop.example", since: 99, refused: "no IP address"},
		{parameter: "connect_timeout=soon", since: 99, refused: "whole number"},
		{parameter: "keepalives=x", since: 99, refused: "whole number"},
		{parameter: "tcp_user_timeout=x", since: 99, refused: "whole number"},
		{parameter: "ssl_min_protocol_version=TLSv1.3 ssl_max_protocol_version=TLSv1.2", since: 99, refused: "above"},
		{parameter: "ssl_max_protocol_version=SSLv3", since: 99, refused: "TLSv1"},
		{parameter: "target_session_attrs=leader", since: 99, refused: "prefer-standby"},
		{parameter: "channel_binding=yes", since: 99, refused: "disable, prefer or require"},
		{parameter: "load_balance_hosts=yes", since: 99, refused: "disable or random"},
		{parameter: "require_auth=md5,!password", since: 99, refused: "require_auth"},
		{parameter: "sslsni=yes", since: 99, refused: "sslsni"},
		{parameter: "schema=public", since: 99, refused: "Prisma"},
		{parameter: "pgbouncer=true", since: 99, refused: "Prisma"},
		{parameter: "ssl=require", since: 99, refused: "sslmode=require"},
		{parameter: "servise=x", since: 99, refused: "unknown parameter, number 5"},
		{parameter: "service=other", since: 99, refused: "no section"},
	} {
		dsn := fmt.Sprintf("host=%s port=%s user=postgres dbname=%s %s", host, port, database, c.parameter)
		if c.since <= psql {
			out, err := exec.CommandContext(t.Context(), "psql", "-X", "-c", "select", dsn).CombinedOutput()
			// psql does look at these, and finds nothing.
			if err != nil && !strings.Contains(c.parameter, "requirepeer") {
				t.Errorf("%s: psql itself refuses: %s", c.parameter, out)
			}
		}
		info, err := Parse(dsn)
		switch {
		case c.refused == "" && err != nil:
			t.Errorf("%s: %v", c.parameter, err)
		case c.refused == "":
			if err := session(t.Context(), info); err != nil {
				t.Errorf("%s: %v", c.parameter, err)
			}
		case err == nil:
			t.Errorf("%s is taken", c.parameter)
		case !strings.Contains(err.Error(), c.refused) || !strings.Contains(err.Error(), "; ") || !errors.As(err, new(*Error)):
			t.Errorf("%s: %v, want %q and a mend", c.parameter, err, c.refused)
		}
	}
}

func session(ctx context.Context, info *Info) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	config, err := info.Client()
	if err != nil {
		return err
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	var one int
	return conn.QueryRow(ctx, "select 1").Scan(&one)
}

// place is where the tests' server is.
func place(t *testing.T) (host, port, database string) {
	t.Helper()
	url := testbed.Database(t)
	rest := strings.TrimPrefix(url, "postgres://postgres@")
	address, database, _ := strings.Cut(rest, "/")
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	database, _, _ = strings.Cut(database, "?")
	return host, port, database
}

// TestLibpqsListIsComplete: psql's own list of parameters, as the library on this machine has it compiled in.
func TestLibpqsListIsComplete(t *testing.T) {
	var missing []string
	for _, name := range []string{ // PostgreSQL 18, section 34.1.2, and what 14 had besides
		"host", "hostaddr", "port", "dbname", "user", "password", "passfile", "require_auth", "channel_binding", "connect_timeout", "client_encoding", "options",
		"application_name", "fallback_application_name", "keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout", "replication",
		"gssencmode", "sslmode", "requiressl", "sslnegotiation", "sslcompression", "sslcert", "sslkey", "sslkeylogfile", "sslpassword", "sslcertmode", "sslrootcert", "sslcrl",
		"sslcrldir", "sslsni", "requirepeer", "ssl_min_protocol_version", "ssl_max_protocol_version", "min_protocol_version", "max_protocol_version", "krbsrvname",
		"gsslib", "gssdelegation", "scram_client_key", "scram_server_key", "service", "target_session_attrs", "load_balance_hosts", "oauth_issuer", "oauth_client_id",
		"oauth_client_secret", "oauth_scope", "authtype", "tty",
	} {
		if _, ok := parameters[name]; !ok {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		t.Error("unknown:", slices.Compact(missing))
	}
}

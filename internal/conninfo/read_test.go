package conninfo

import (
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

// TestStringsAreReadAsLibpqReadsThem: the values are what psql connects with.
func TestStringsAreReadAsLibpqReadsThem(t *testing.T) {
	for text, want := range map[string]string{ // user password hosts database
		"postgres://app:secret@db/shop":                                  "app|secret|db:5432|shop",
		"postgresql://app:s%40c%2Fr@db:5433/my%20shop":                   "app|s@c/r|db:5433|my shop",
		"postgres://app:a?b#c:d@db/shop":                                 "app|a?b#c:d|db:5432|shop",
		"postgres://app@%2Fsocket%2Fdir/db":                              "app||/socket/dir:5432|db",
		"postgres:///db?host=/socket/dir&port=6543&user=app":             "app||/socket/dir:6543|db",
		"postgres://app@a,b:5433,[::1]:5434/db":                          "app||a:5432 b:5433 ::1:5434|db",
		"postgres://a,b/db?port=6000":                                    "||a:6000 b:6000|db",
		"postgres://db?user=app&password=s%26t":                          "app|s&t|db:5432|",
		"host=db user=app password=secret dbname=shop":                   "app|secret|db:5432|shop",
		"host = db\tuser\n=\tapp password='it\\'s \\\\ a' dbname = shop": `app|it's \ a|db:5432|shop`,
		`host=db user=app password=a\ b\'c dbname=shop`:                  `app|a b'c|db:5432|shop`,
		"host=a,b port=1,2 user=app":                                     "app||a:1 b:2|",
		"user=app hostaddr=10.0.0.1,10.0.0.2 port=,7":                    "app||:5432 :7|",
		"": "||:5432|",
	} {
		i, err := read(text)
		if err == nil {
			if wrong := i.check(); wrong != nil {
				err = wrong
			}
		}
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		var hosts []string
		for _, s := range i.servers {
			hosts = append(hosts, s.host+":"+strconv.Itoa(int(s.port)))
		}
		if got := strings.Join([]string{i.get("user"), i.get("password"), strings.Join(hosts, " "), i.get("dbname")}, "|"); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
}

// TestWhatIsNoConnectionStringIsCalledWhatItIs: one sentence with the mend, and nothing of the text.
func TestWhatIsNoConnectionStringIsCalledWhatItIs(t *testing.T) {
	for text, want := range map[string]string{
		"postgres://app:p@ssw0rd@db/shop?sslmode=requre": "has an @ or a / in the user or password",
		"postgres://app:p@ss/word@db/shop":               "has an @ or a / in the user or password",
		"postgres://app:p/ssw0rd@db/shop":                "has an @ or a / in the user or password",
		"postgres://app:ssw0rd":                          "no number from 1 to 65535",
		"postgres://app:ssw0rd@db:5432x/shop":            "no number from 1 to 65535",
		"postgres://app:ss%w0rd@db/shop":                 "not percent-encoded",
		"postgres://app@db/shop?password=ssw0rd&ss w0rd": "parameter, number 2",
		"postgres://app@db/shop?ssw0rd=x":                "unknown parameter, number 1",
		"host = h port = 5432x password = ssw0rdX":       "no number from 1 to 65535",
		"host=h password=my ssw0rd user=app":             "from pair number 3 on",
		"host=h password='ssw0rd user=app":               "pair number 2",
		"host=h password=a ssw0rd=b":                     "unknown parameter, number 3",
		"host=ssw0rd:x@y":                                "is no name and no address",
		"host=@ssw0rd":                                   "abstract socket",
		"ssw0rd":                                         "neither a URL nor",
		"jdbc:postgresql://app:ssw0rd@db/shop":           "scheme",
		"postgres://app:ssw0rd@[::1/db":                  "bracket",
		"postgres://app:\x00ssw0rd@db":                   "zero byte",
	} {
		err := Check(text)
		if err == nil {
			t.Errorf("%q is taken", text)
			continue
		}
		if got := err.Error(); !strings.Contains(got, want) || !strings.Contains(got, "; ") || strings.Contains(got, "w0rd") || strings.ContainsAny(got, "\t\n") {
			t.Errorf("%q: %s, want %q", text, got, want)
		}
		if got := Describe(text); got != "[not readable]" {
			t.Errorf("%q is described as %s", text, got)
		}
	}
}

func TestDescriptionHoldsHostPortDatabaseAndUserOnly(t *testing.T) {
	for text, want := range map[string]string{
		"postgres://app:ssw0rd@db:5433/shop?application_name=x":                "postgres://app@db:5433/shop",
		"host=a,b user=app password=ssw0rd dbname=shop options='-c a=b'":       "postgres://app@a,b/shop",
		"postgres://app%3Assw0rd@db/a%3Db":                                     "postgres://db",
		"host=/run/postgresql user=app":                                        "postgres://app@%2Frun%2Fpostgresql",
		"user=app dbname='postgres://app:ssw0rd@db/shop' hostaddr=::1 port=17": "postgres://app@[::1]:17",
	} {
		if got := Describe(text); got != want {
			t.Errorf("%q is described as %s, want %s", text, got, want)
		}
	}
}

// TestEnvironmentAndServiceAreReadAndNamed: as libpq reads them, and a mistake in one is told with the variable's name.
func TestEnvironmentAndServiceAreReadAndNamed(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	services := "[shop]\nhost=db1\nuser=clerk\nsslmode=disable\nkeepalives=1\n\n[wrong]\nssw0rd=x\n\n[modes]\nsslmode=ssw0rd\n"
	if err := os.WriteFile(filepath.Join(home, ".pg_service.conf"), []byte(services), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PGPASSWORD", "ssw0rd")
	t.Setenv("PGUSER", "nobody")
	t.Setenv("PGSERVICE", "shop")
	info, err := Parse("dbname=shop")
	if err != nil {
		t.Fatal(err)
	}
	config, err := info.Connection()
	if err != nil {
		t.Fatal(err)
	}
	if config.Host != "db1" || config.User != "clerk" || config.Password != "ssw0rd" || config.Database != "shop" || config.TLSConfig != nil || len(config.RuntimeParams) != 0 {
		t.Errorf("host %s, user %s, database %s, parameters %v", config.Host, config.User, config.Database, config.RuntimeParams)
	}
	for _, c := range []struct{ name, value, text, want string }{
		{"PGSERVICE", "wrong", "", "the service file has a parameter in this service's section that is not known"},
		{"PGSERVICE", "modes", "", "the service file has an sslmode that is none"},
		{"PGSERVICE", "ssw0rd", "", "the environment variable PGSERVICE names a service"},
		{"PGSERVICE", "", "", ""},
		{"PGPORT", "ssw0rd", "", "the environment variable PGPORT has a port"},
		{"PGPORT", "ssw0rd", "port=1", ""},
		{"PGSSLMODE", "ssw0rd", "port=1", "the environment variable PGSSLMODE has an sslmode"},
		{"PGSSLROOTCERT", "/ssw0rd", "port=1 sslmode=prefer host=db", "the environment variable PGSSLROOTCERT has an sslrootcert that names a file which isn't there"},
		{"PGSSLROOTCERT", "/ssw0rd", "port=1 sslmode=disable host=db", ""},
		{"PGCONNECT_TIMEOUT", "ssw0rd", "sslmode=disable port=1", "the environment variable PGCONNECT_TIMEOUT has"},
		{"PGHOST", "ssw0rd:x", "sslmode=disable port=1 connect_timeout=1", "the environment variable PGHOST has a host"},
	} {
		t.Setenv(c.name, c.value)
		_, err := Parse(c.text)
		if got := ""; err != nil {
			got = err.Error()
			if c.want == "" || !strings.HasPrefix(got, c.want) || strings.Contains(got, "ssw0rd") {
				t.Errorf("%s, %q: %s, want %q", c.name, c.text, got, c.want)
			}
		} else if c.want != "" {
			t.Errorf("%s=%s, %q is taken", c.name, c.value, c.text)
		}
	}
}

// TestHostaddrIsConnectedToAndHostNamesTheCertificate, and localhost stands for both loopback addresses.
func TestHostaddrIsConnectedToAndHostNamesTheCertificate(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	info, err := Parse("host=db.example,other.example hostaddr=127.0.0.7,127.0.0.8 sslmode=verify-full ssl_min_protocol_version=TLSv1.3")
	if err != nil {
		t.Fatal(err)
	}
	c, err := info.Connection()
	if err != nil {
		t.Fatal(err)
	}
	if c.Host != "db.example" || c.TLSConfig.ServerName != "db.example" || c.TLSConfig.MinVersion != 0x0304 {
		t.Errorf("host %s, TLS for %s from %x", c.Host, c.TLSConfig.ServerName, c.TLSConfig.MinVersion)
	}
	if got, err := c.LookupFunc(t.Context(), "other.example"); err != nil || !reflect.DeepEqual(got, []string{"127.0.0.8"}) {
		t.Errorf("other.example is at %v, %v", got, err)
	}
	if got, err := c.LookupFunc(t.Context(), "localhost"); err != nil || !strings.Contains(strings.Join(got, " "), "127.0.0.1") || !strings.Contains(strings.Join(got, " "), "::1") {
		t.Errorf("localhost is at %v, %v", got, err)
	}
}

// FuzzStringIsReadAsTheDriverReadsIt: what is taken means to the driver what it means here.
func FuzzStringIsReadAsTheDriverReadsIt(f *testing.F) {
	for _, s := range []string{
		"postgres://app:s%40x@db:1/shop?application_name=a", "host=a,b port=1,2 password='it\\'s' user=u dbname=d", "postgres://u@[::1]:1,b/d?host=c",
		"password=a\\ b\thost=h user=u", "postgres://%2Fa/b?user=u", "user=u hostaddr=::1",
	} {
		f.Add(s)
	}
	f.Setenv("HOME", f.TempDir())
	f.Fuzz(func(t *testing.T, text string) {
		i, err := read(text)
		if err != nil || i.check() != nil || i.get("service") != "" || strings.Contains(text, "ssl") || i.has("hostaddr") {
			return
		}
		theirs, err := pgconn.ParseConfig(text)
		if err != nil || theirs.User == "" { // libpq takes the system's user then, and so does this package
			return
		}
		ours, err := i.Connection()
		if err != nil {
			t.Fatalf("%q: the driver takes it as it is", text)
		}
		if ours.Host != theirs.Host || ours.Port != theirs.Port || ours.User != theirs.User || ours.Password != theirs.Password || ours.Database != theirs.Database || len(ours.Fallbacks) != len(theirs.Fallbacks) {
			t.Fatalf("%q: %q %d %q %q %q here, %q %d %q %q %q there", text, ours.Host, ours.Port, ours.User, ours.Password, ours.Database, theirs.Host, theirs.Port, theirs.User, theirs.Password, theirs.Database)
		}
	})
}

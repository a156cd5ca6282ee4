package primary

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"walpurge/internal/conninfo"
)

// TestFormatsOfTheStreamAreOurs: rows arrive as text in formats that the URL and the environment don't change, however they
// spell them. The server takes the last of two spellings, and their order was that of a map.
func TestFormatsOfTheStreamAreOurs(t *testing.T) {
	t.Setenv("PGTZ", "Asia/Tokyo")
	t.Setenv("PGDATESTYLE", "German")
	c := Options{URL: "postgres://app@127.0.0.1:1/shop?intervalstyle=iso_8601&extra_float_digits=0&search_path=shop&statement_timeout=1&replication=true&client_encoding=LATIN1&application_name=x&options=-c%20geqo%3Doff"}
	replication, _, err := c.replication()
	if err != nil {
		t.Fatal(err)
	}
	ordinary, err := c.ordinary()
	if err != nil {
		t.Fatal(err)
	}
	for _, params := range []map[string]string{replication.RuntimeParams, ordinary.RuntimeParams} {
		seen := map[string]bool{}
		for _, name := range slices.Sorted(maps.Keys(params)) {
			if seen[strings.ToLower(name)] {
				t.Errorf("%s is there twice: %v", name, params)
			}
			seen[strings.ToLower(name)] = true
		}
		if params["search_path"] != "pg_catalog" || params["application_name"] != ApplicationName || params["statement_timeout"] != "0" || params["options"] != "-c geqo=off" {
			t.Error(params)
		}
	}
	if p := replication.RuntimeParams; p["TimeZone"] != "UTC" || p["DateStyle"] != "ISO" || p["IntervalStyle"] != "postgres" || p["extra_float_digits"] != "3" || p["replication"] != "database" {
		t.Error(p)
	}
	if ordinary.RuntimeParams["replication"] != "" {
		t.Error("a connection for queries is one for replication:", ordinary.RuntimeParams)
	}
}

// TestADeadPeerIsFoundAsSoonAsAsked: keepalives of the URL count where they are shorter.
func TestADeadPeerIsFoundAsSoonAsAsked(t *testing.T) {
	info, err := conninfo.Parse("host=h sslmode=disable keepalives_idle=1 keepalives_interval=1000 keepalives_count=2 tcp_user_timeout=2000")
	if err != nil {
		t.Fatal(err)
	}
	k := info.KeepAlive(keepAlive)
	if !k.Enable || k.Idle != time.Second || k.Interval != deadPeer/3 || k.Count != 2 || info.UserTimeout(deadPeer) != 2*time.Second {
		t.Errorf("%+v, %v", k, info.UserTimeout(deadPeer))
	}
}

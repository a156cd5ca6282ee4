package conninfo

import (
	"maps"
	"slices"
	"strings"
)

// check finds what can never work, without looking at files.
func (i *Info) check() *Error {
	for _, name := range slices.Sorted(maps.Keys(i.settings)) {
		if check := parameters[name].check; check != nil {
			if what := check(i.get(name)); what != nil {
				return i.wrong(name, *what)
			}
		}
	}
	if err := i.readList(); err != nil {
		return err
	}
	mode := i.get("sslmode")
	switch weak := mode == "" || mode == "disable" || mode == "allow" || mode == "prefer"; {
	case i.get("sslrootcert") == "system" && i.has("sslmode") && mode != "verify-full":
		return i.wrong("sslrootcert", "has sslrootcert=system with an sslmode that doesn't verify the server's name; write sslmode=verify-full")
	case i.get("sslnegotiation") == "direct" && i.has("sslmode") && weak:
		return i.wrong("sslnegotiation", "has sslnegotiation=direct with an sslmode that also does without TLS; write sslmode=require, verify-ca or verify-full")
	case i.get("sslcertmode") == "require" && mode == "disable":
		return i.wrong("sslcertmode", "has sslcertmode=require with sslmode=disable; take one of them out")
	case i.get("channel_binding") == "require" && mode == "disable":
		return i.wrong("channel_binding", "has channel_binding=require with sslmode=disable, and without TLS there is nothing to bind to; take one of them out")
	}
	if low, high := tlsVersions[strings.ToLower(i.get("ssl_min_protocol_version"))], tlsVersions[strings.ToLower(i.get("ssl_max_protocol_version"))]; high != 0 && low > high {
		return i.wrong("ssl_min_protocol_version", "has an ssl_min_protocol_version above its ssl_max_protocol_version; correct one of them")
	}
	rank := map[string]int{"3.0": 1, "3.2": 2, "latest": 2}
	if low, high := rank[i.get("min_protocol_version")], rank[i.get("max_protocol_version")]; high != 0 && low > high {
		return i.wrong("min_protocol_version", "has a min_protocol_version above its max_protocol_version; correct one of them")
	}
	return nil
}

// Primary finds out whether the string may lead to a primary.
func (i *Info) Primary() error {
	if i.get("target_session_attrs") != "standby" {
		return nil
	}
	return i.wrong("target_session_attrs", "has target_session_attrs=standby, but what is needed is the primary, where the log is written; write target_session_attrs=primary")
}

// encrypted tells whether there may be TLS. Without a host the driver looks for a socket, and else takes localhost.
func (i *Info) encrypted() bool {
	return i.get("sslmode") != "disable" && slices.ContainsFunc(i.servers, func(s server) bool {
		return s.address != "" || !strings.HasPrefix(s.host, "/")
	})
}

package rfc9111

import "testing"

func TestRFC9211Section2Member(t *testing.T) {
	for want, c := range map[string]CacheStatus{
		"walpurge":                    {},
		"walpurge; hit; ttl=0":        {Hit: true},
		"walpurge; hit; ttl=-5":       {Hit: true, TTL: -5},
		"walpurge; detail=connection": {Detail: "connection"},
		"walpurge; fwd=stale; fwd-status=304; stored; collapsed": {Fwd: FwdStale, FwdStatus: 304, Stored: true, Collapsed: true},
		"walpurge; fwd=bypass; detail=ttl":                       {Fwd: FwdBypass, Detail: RouteTTL, TTL: 7},
	} {
		if got := c.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
		if got := string(c.Append([]byte("A: b\r\n"))); got != "A: b\r\nCache-Status: "+want+"\r\n" {
			t.Errorf("%q", got)
		}
	}
}

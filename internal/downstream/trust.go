package downstream

import (
	"net"
	"net/netip"

	"walpurge/internal/http1"
)

// Trust is the addresses of proxies that are believed what they say of clients
// of their own, in Forwarded and X-Forwarded-*.
type Trust []netip.Prefix

// Peer is the other end of the client's connection, and whether it is
// believed. The address is not valid where it is none of TCP.
func (t Trust) Peer(ex *http1.Exchange) (addr netip.Addr, trusted bool) {
	if tcp, ok := ex.RemoteAddr().(*net.TCPAddr); ok {
		addr = tcp.AddrPort().Addr().Unmap()
	}
	for _, prefix := range t {
		if prefix.Contains(addr) {
			return addr, true
		}
	}
	return addr, false
}

// forwarded are the fields by which proxies tell what the client asked.
var forwarded = http1.Of(http1.XForwardedHost, http1.XForwardedProto, http1.Forwarded)

// Outside is the scheme and, if a trusted proxy changed it, the host that the
// client asked for. They are part of the key (C5).
func (t Trust) Outside(ex *http1.Exchange) (https bool, host []byte) {
	if !ex.Has(forwarded) || len(t) == 0 {
		return ex.Secure, nil
	}
	if _, trusted := t.Peer(ex); !trusted {
		return ex.Secure, nil
	}
	if !ex.Has(http1.Of(http1.XForwardedProto)) {
		return ex.Secure, ex.Get(http1.XForwardedHost)
	}
	return http1.EqualFold(ex.Get(http1.XForwardedProto), "https"), ex.Get(http1.XForwardedHost)
}

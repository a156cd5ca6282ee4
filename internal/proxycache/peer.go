package proxycache

import (
	"net"
	"net/netip"

	"walpurge/internal/http1"
)

// peer is what is known of the other end of a client connection.
type peer struct {
	addr    netip.Addr
	trusted bool // its Forwarded and X-Forwarded-* fields are believed
}

func (p *Proxy) peer(ex *http1.Exchange) peer {
	var who peer
	if tcp, ok := ex.RemoteAddr().(*net.TCPAddr); ok {
		who.addr = tcp.AddrPort().Addr().Unmap()
	}
	who.trusted = p.trusts(who.addr)
	return who
}

func (p *Proxy) trusts(addr netip.Addr) bool {
	for _, prefix := range p.opt.Clients.TrustedProxies {
		if prefix.Contains(addr) {
			return true
		}
	}
	return false
}

// forwarded are the fields by which proxies tell what the client asked.
var forwarded = http1.Of(http1.XForwardedHost, http1.XForwardedProto, http1.Forwarded)

// outside is the scheme and, if a trusted proxy changed it, the host that the
// client asked for. They are part of the key (C5).
func (p *Proxy) outside(ex *http1.Exchange) (https bool, host []byte) {
	if !ex.Has(forwarded) || len(p.opt.Clients.TrustedProxies) == 0 || !p.peer(ex).trusted {
		return ex.Secure, nil
	}
	if !ex.Has(http1.Of(http1.XForwardedProto)) {
		return ex.Secure, ex.Get(http1.XForwardedHost)
	}
	return http1.EqualFold(ex.Get(http1.XForwardedProto), "https"), ex.Get(http1.XForwardedHost)
}

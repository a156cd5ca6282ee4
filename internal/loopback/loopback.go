// Package loopback finds who listens on this machine under the name localhost, be it on IPv4 or on IPv6.
//
// The name stands for both (RFC 6761, section 6.3), but a hosts file often has one of them only, and a server often listens
// on the other.
package loopback

import (
	"context"
	"net"
	"slices"
	"strings"
)

// Names tells whether host is a name of this machine itself.
func Names(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// Complete adds what is missing of the addresses of localhost.
func Complete(addresses []string) []string {
	for _, a := range []string{"127.0.0.1", "::1"} {
		if !slices.Contains(addresses, a) {
			addresses = append(slices.Clone(addresses), a)
		}
	}
	return addresses
}

// Dial is d.DialContext, but for localhost it tries both loopback addresses after those that the name has. The error is that
// of the name.
func Dial(ctx context.Context, d *net.Dialer, network, address string) (net.Conn, error) {
	conn, err := d.DialContext(ctx, network, address)
	host, port, splitErr := net.SplitHostPort(address)
	if err == nil || splitErr != nil || network != "tcp" || !Names(host) {
		return conn, err
	}
	for _, a := range Complete(nil) {
		if ctx.Err() != nil {
			break
		}
		if conn, again := d.DialContext(ctx, network, net.JoinHostPort(a, port)); again == nil {
			return conn, nil
		}
	}
	return nil, err
}

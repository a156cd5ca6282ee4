package sidecar

import (
	"context"
	"crypto/tls"
	"errors"
	"net"

	"walpurge/config"
	"walpurge/internal/loopback"
)

// checkOrigin connects to the origin. One that can't be reached is no mistake, one whose
// TLS can't be trusted is.
func (c *command) checkOrigin(ctx context.Context, found *checked) error {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	switch err := connectOrigin(ctx, c.config); {
	case err == nil:
		found.Origin = "checked"
	case untrusted(err):
		return config.NewErrors(c.config.Problem(c.config.Pos("origin"), "the origin can't be used: %v; correct origin, or the certificate", err))
	default:
		found.Origin, found.OriginErr = "unreachable", err.Error()
	}
	return nil
}

// connectOrigin connects as a fill does, and asks for nothing.
func connectOrigin(ctx context.Context, c *config.Config) error {
	network, address := "unix", c.OriginSocket
	if address == "" {
		port := c.Origin.Port()
		if port == "" {
			port = c.Origin.Scheme // the names of their own ports
		}
		network, address = "tcp", net.JoinHostPort(c.Origin.Hostname(), port)
	}
	conn, err := loopback.Dial(ctx, new(net.Dialer), network, address)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if c.Origin.Scheme == "https" {
		return tls.Client(conn, &tls.Config{ServerName: c.Origin.Hostname()}).HandshakeContext(ctx)
	}
	return nil
}

// untrusted tells whether err is about what the other side says of itself.
func untrusted(err error) bool {
	var noTLS tls.RecordHeaderError
	var certificate *tls.CertificateVerificationError
	return errors.As(err, &noTLS) || errors.As(err, &certificate)
}

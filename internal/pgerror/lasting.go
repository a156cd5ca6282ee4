package pgerror

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"walpurge/internal/conninfo"
)

// Lasting is what is wrong about a connection that waiting doesn't mend, though no server has refused it in words of its own:
// the connection string, its files, or what client and server can't agree on. The sentence ends with the mend; key is what
// the connection string is called. It is empty for any other error.
func Lasting(err error, key string) string {
	var wrong *conninfo.Error
	if errors.As(err, &wrong) {
		return wrong.Of(key)
	}
	var unread *pgconn.ParseConfigError
	if errors.As(err, &unread) {
		return key + " can't be read; write it as " + conninfo.Example
	}
	var failed *pgconn.ConnectError
	if !errors.As(err, &failed) || errors.As(err, new(*pgconn.PgError)) || transient(failed) {
		return ""
	}
	if what := untrusted(failed); what != "" {
		return Line(err) + "; " + strings.ReplaceAll(mends[what[:strings.IndexAny(what+":", ":")]], "KEY", key)
	}
	for _, d := range disagreements {
		if strings.Contains(failed.Error(), d.says) {
			return Line(err) + "; " + strings.ReplaceAll(d.mend, "KEY", key)
		}
	}
	return ""
}

// transient tells whether one of the servers that were tried may still come.
func transient(failed *pgconn.ConnectError) bool {
	joined, ok := failed.Unwrap().(interface{ Unwrap() []error })
	if !ok {
		return false
	}
	for _, err := range joined.Unwrap() {
		lasting := untrustedOne(err) != ""
		for _, d := range disagreements {
			lasting = lasting || strings.Contains(err.Error(), d.says)
		}
		if !lasting {
			return true
		}
	}
	return false
}

// What can be wrong about TLS, in front of the library's words.
const (
	badCertificate = "the server's certificate can't be trusted"
	badName        = "the server's certificate is for another host"
	ownRefused     = "the server refuses the TLS connection"
	noTLS          = "the server takes no TLS connections"
)

var mends = map[string]string{
	badCertificate: "let sslrootcert name the authority that signed it, or correct KEY, or give the server another certificate",
	badName:        "correct the host in KEY, or write sslmode=verify-ca, or give the server another certificate",
	ownRefused:     "give it a certificate of an authority that it trusts by sslcert and sslkey, or correct KEY",
	noTLS:          "write sslmode=disable or sslmode=prefer in KEY, or set ssl=on for the server",
}

// untrusted is what is wrong about TLS with any of the servers, "" if it is something else.
func untrusted(failed *pgconn.ConnectError) string { return untrustedOne(failed.Unwrap()) }

func untrustedOne(err error) string {
	var name x509.HostnameError
	var authority x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	var verification *tls.CertificateVerificationError
	var alert tls.AlertError
	switch {
	case errors.As(err, &name):
		return badName + ": " + name.Error()
	case errors.As(err, &authority):
		return badCertificate + ": " + authority.Error()
	case errors.As(err, &invalid):
		return badCertificate + ": " + invalid.Error()
	case errors.As(err, &verification):
		return badCertificate + ": " + verification.Err.Error()
	case errors.As(err, &alert):
		return ownRefused + ": " + alert.Error()
	case strings.Contains(err.Error(), "remote error: tls:"):
		_, says, _ := strings.Cut(err.Error(), "remote error: ")
		return ownRefused + ": " + says
	case strings.Contains(err.Error(), "server refused TLS connection"):
		return noTLS
	}
	return ""
}

// disagreements are the driver's words for a server that wants, or doesn't do, what the connection string says.
var disagreements = []struct{ says, mend string }{
	{"kerberos error: no GSSAPI provider", "Kerberos is not supported: let the role of KEY in by a password or a certificate in pg_hba.conf"},
	{"OAuth authentication required", "OAuth is not supported: let the role of KEY in by a password or a certificate in pg_hba.conf"},
	{"channel binding required", "write channel_binding=prefer in KEY, or let the role in by scram-sha-256 over TLS"},
	{"authentication method requirement", "correct require_auth in KEY, or pg_hba.conf"},
	{"server does not support SCRAM-SHA-256", "let the role of KEY in by a password or a certificate in pg_hba.conf"},
	{"sslcertmode check failed", "have the server ask for certificates (ssl_ca_file), or correct sslcertmode in KEY"},
	{"server protocol version too low", "lower min_protocol_version in KEY"},
}

package redisclient

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"walpurge/dev/testbed"
)

// encrypted is a Redis that speaks TLS with a certificate for localhost alone, and who trusts it.
func encrypted(t *testing.T) (port string, authorities *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certificate, private := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, block := range map[string]*pem.Block{certificate: {Type: "CERTIFICATE", Bytes: der}, private: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_, port, err = net.SplitHostPort(testbed.FreeAddress(t))
	if err != nil {
		t.Fatal(err)
	}
	server, err := testbed.StartRedis(t.Context(), filepath.Join(dir, "redis"),
		"--tls-port", port, "--tls-auth-clients", "no", "--tls-cert-file", certificate, "--tls-key-file", private)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	trusted, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	authorities = x509.NewCertPool()
	authorities.AddCert(trusted)
	return port, authorities
}

// What a rediss URL names is spoken to by TLS and no other way, and a certificate that nobody vouches for is refused.
func TestRedissIsEncrypted(t *testing.T) {
	port, authorities := encrypted(t)
	for url, want := range map[string]string{
		"rediss://localhost:%s?skip_verify=true": "",
		"rediss://localhost:%s":                  "x509: ",
		"rediss+cluster://localhost:%s":          "x509: ",
		"rediss+sentinel://localhost:%s/m":       "", // the library says no more than that no sentinel answers
	} {
		c, err := New(fmt.Sprintf(url, port), Limits{Wait: 10 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		err = c.Ping(t.Context()).Err()
		switch passes := strings.Contains(url, "skip_verify"); {
		case (err == nil) != passes:
			t.Errorf("%s: %v", url, err)
		case err != nil && !strings.Contains(err.Error(), want):
			t.Errorf("%s: %v, want %s", url, err, want)
		}
		_ = c.Close()
	}
	// The certificate is that of the name that was dialed.
	for host, passes := range map[string]bool{"localhost": true, "127.0.0.1": false} {
		conn, err := dialer(&tls.Config{MinVersion: tls.VersionTLS12, RootCAs: authorities})(t.Context(), "tcp", net.JoinHostPort(host, port))
		if (err == nil) != passes {
			t.Errorf("%s: %v", host, err)
		}
		if err != nil {
			continue
		}
		if _, err := fmt.Fprint(conn, "PING\r\n"); err != nil {
			t.Error(err)
		}
		answer := make([]byte, len("+PONG"))
		if _, err := conn.Read(answer); err != nil || string(answer) != "+PONG" {
			t.Errorf("%q, %v", answer, err)
		}
		_ = conn.Close()
	}
}

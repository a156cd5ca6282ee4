package downstream

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// certificateFiles makes a certificate for 127.0.0.1 with that name, valid for
// an hour, and writes it to dir.
func certificateFiles(t testing.TB, dir, name string) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: cert}, keyFile: {Type: "PRIVATE KEY", Bytes: raw}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}

func TestCertificateIsReadAgain(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := certificateFiles(t, dir, "first")
	c, err := NewCertificate(certFile, keyFile, nil)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Now()
	c.now = func() time.Time { return at }
	name := func() string {
		got, err := c.Config().GetCertificate(nil)
		if err != nil {
			t.Fatal(err)
		}
		leaf, err := x509.ParseCertificate(got.Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		return leaf.Subject.CommonName
	}
	touch := func(d time.Duration) {
		for _, f := range []string{certFile, keyFile} {
			if err := os.Chtimes(f, at.Add(d), at.Add(d)); err != nil {
				t.Fatal(err)
			}
		}
		at = at.Add(2 * lookEvery)
	}
	if name() != "first" {
		t.Fatal(name())
	}
	certificateFiles(t, dir, "second")
	touch(time.Hour)
	if name() != "second" {
		t.Fatal("still", name())
	}
	if err := os.WriteFile(keyFile, []byte("broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	touch(2 * time.Hour)
	if name() != "second" {
		t.Fatal("a broken key took the place of a good one")
	}
	certificateFiles(t, dir, "third")
	touch(3 * time.Hour)
	if name() != "third" {
		t.Fatal("not after a broken one:", name())
	}
	for _, files := range [][2]string{{certFile, certFile}, {certFile, filepath.Join(dir, "none")}} {
		if _, err := NewCertificate(files[0], files[1], nil); err == nil {
			t.Error("accepted", files)
		}
	}
}

package downstream

import (
	"crypto/x509"
	"os"
	"path/filepath"
	"testing"
	"time"

	"walpurge/dev/testbed"
)

func TestCertificateIsReadAgain(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := testbed.WriteCertificate(t, dir, "first")
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
	testbed.WriteCertificate(t, dir, "second")
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
	testbed.WriteCertificate(t, dir, "third")
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

package sidecar

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"

	"walpurge/dev/testbed"
)

// selfSigned writes a certificate for host and its key.
func selfSigned(t *testing.T, host, certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
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
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// encrypted is a server with a certificate for db.example, and the certificate's file.
func encrypted(t *testing.T) (server *testbed.Postgres, authority string) {
	t.Helper()
	dir := t.TempDir()
	server, err := testbed.StartPostgres(t.Context(), filepath.Join(dir, "pg"), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	cert, key := filepath.Join(server.Dir(), "server.crt"), filepath.Join(server.Dir(), "server.key")
	selfSigned(t, "db.example", cert, key)
	of, err := os.Stat(server.Dir())
	if err != nil {
		t.Fatal(err)
	}
	owner := of.Sys().(*syscall.Stat_t)
	for _, file := range []string{cert, key} {
		if err := os.Chown(file, int(owner.Uid), int(owner.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	if err := server.Set(t.Context(), "ssl", "on"); err != nil {
		t.Fatal(err)
	}
	return server, cert
}

// TestWhatCanNeverWorkIsAMistakeInTheConfiguration: check, setup and run end with status 2 and one sentence at postgres.url.
func TestWhatCanNeverWorkIsAMistakeInTheConfiguration(t *testing.T) {
	server, authority := encrypted(t)
	dir := t.TempDir()
	other := filepath.Join(dir, "other.crt")
	selfSigned(t, "db.example", other, filepath.Join(dir, "other.key"))
	place := fmt.Sprintf("host=db.example hostaddr=127.0.0.1 port=%d user=postgres dbname=postgres ", server.Port())
	plain := testbed.Database(t)
	for _, c := range []struct{ url, want string }{
		{place + "sslmode=no-verify", "sslmode=no-verify, which is of node-postgres"},
		{place + "sslrootcert=" + dir + "/nowhere", "sslrootcert that names a file which isn't there"},
		{place + "sslrootcert=" + filepath.Join(dir, "other.key"), "holds no certificate"},
		{place + "sslcert=" + other + " sslkey=" + server.Dir() + "/server.key", "don't belong together"},
		{strings.Replace(place, "port=", "port=abc", 1), "no number from 1 to 65535"},
		{place + "sslmode=verify-full sslrootcert=" + other, "the server's certificate can't be trusted"},
		{strings.Replace(place, "db.example", "shop.example", 1) + "sslmode=verify-full sslrootcert=" + authority, "the server's certificate is for another host"},
		{place + "sslmode=require ssl_min_protocol_version=TLSv1 ssl_max_protocol_version=TLSv1", "refuses the TLS connection"},
		{place + "channel_binding=require", "write channel_binding=prefer in postgres.url"},
		{place + "require_auth=scram-sha-256", "correct require_auth in postgres.url"},
		{place + "sslcertmode=require", "correct sslcertmode in postgres.url"},
		{place + "target_session_attrs=standby", "write target_session_attrs=primary"},
		{strings.Replace(plain, "sslmode=disable", "sslmode=require", 1), "the server takes no TLS connections; write sslmode=disable"},
	} {
		file := filepath.Join(dir, "proxy.yaml")
		if err := os.WriteFile(file, []byte(settings(inYAML(t, c.url), "")), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, args := range commands {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			out, status := spoken(ctx, append(args, "-config", file)...)
			cancel()
			if status != 2 || !strings.Contains(out, c.want) || len(args) == 1 && !strings.HasPrefix(out, file+":4:18: ") {
				t.Errorf("%s, %v: status %d, want 2 and %q: %s", c.url, args, status, c.want, out)
			}
		}
	}
	// What fits is let in: the table is what is missing.
	for _, url := range []string{place + "sslmode=verify-full sslrootcert=" + authority, place + "sslmode=verify-ca sslrootcert=" + authority, place + "sslmode=require ssl_min_protocol_version=TLSv1.3"} {
		file := filepath.Join(dir, "proxy.yaml")
		if err := os.WriteFile(file, []byte(settings(inYAML(t, url), "")), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, status := spoken(t.Context(), "check", "-config", file); status != 2 || !strings.Contains(out, "table public.t doesn't exist") {
			t.Errorf("%s: status %d: %s", url, status, out)
		}
	}
}

// TestCheckAsksRedisForWhatIsNeeded: a user that may not touch the namespace, or lacks a command, is a mistake.
func TestCheckAsksRedisForWhatIsNeeded(t *testing.T) {
	server, err := testbed.StartRedis(t.Context(), filepath.Join(t.TempDir(), "redis"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	options, err := redis.ParseURL(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	admin := redis.NewClient(options)
	t.Cleanup(func() { _ = admin.Close() })
	const rights = "~walpurge:* +@read +@write +@connection +info"
	type trial struct{ rights, want string }
	trials := []trial{
		{rights, ""},
		{"~* +@all", ""},
		{strings.Replace(rights, "~walpurge:", "~other:", 1), "may not use UNLINK on the namespace's keys"},
		{strings.Replace(rights, "~walpurge:", "%R~walpurge:", 1), "may not use UNLINK"},
		{"~walpurge:{* +@read +@write +@connection +info", "may not use EXPIRE"},
		{"nopass -@all", "Redis says"},
	}
	for _, command := range []string{"get", "set", "unlink", "exists", "expire", "pexpire", "xadd", "xrange", "xrevrange", "xread", "xinfo", "sadd", "spop", "hset", "hgetall", "hdel", "info"} {
		trials = append(trials, trial{rights + " -" + command, "may not use " + strings.ToUpper(command) + " "})
	}
	plain := testbed.Database(t)
	file := filepath.Join(t.TempDir(), "proxy.yaml")
	conn, err := pgx.Connect(t.Context(), plain)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), "create table t (id bigint primary key)"); err != nil {
		t.Fatal(err)
	}
	url := strings.Replace(server.URL(), "redis://", "redis://app:"+marker+"@", 1)
	if err := os.WriteFile(file, []byte(settings(inYAML(t, plain), inYAML(t, url))), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range trials {
		args := []any{"ACL", "SETUSER", "app", "reset", "on", ">" + marker}
		for word := range strings.FieldsSeq(c.rights) {
			args = append(args, word)
		}
		if err := admin.Do(t.Context(), args...).Err(); err != nil {
			t.Fatal(err)
		}
		out, status := spoken(t.Context(), "check", "-config", file)
		switch {
		case strings.Contains(out, marker):
			t.Errorf("%s: %s", c.rights, out)
		case c.want == "" && (status != 0 || !strings.Contains(out, "Redis")):
			t.Errorf("%s: status %d: %s", c.rights, status, out)
		case c.want != "" && (status != 2 || !strings.Contains(out, c.want) || !strings.HasPrefix(out, file+":5:15: ")):
			t.Errorf("%s: status %d, want %q: %s", c.rights, status, c.want, out)
		}
	}
	if err := admin.Do(t.Context(), "ACL", "SETUSER", "app", "reset", "on", ">another", "~*", "+@all").Err(); err != nil {
		t.Fatal(err)
	}
	if out, status := spoken(t.Context(), "check", "-config", file); status != 2 || !strings.Contains(out, "WRONGPASS") || strings.Contains(out, marker) {
		t.Errorf("status %d: %s", status, out)
	}
	if keys, err := admin.Keys(t.Context(), "*").Result(); err != nil || len(keys) > 0 {
		t.Errorf("check leaves %v, %v", keys, err)
	}
}

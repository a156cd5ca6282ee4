package sidecar

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"walpurge/config"
	"walpurge/internal/conninfo"
)

const marker = "ssw0rd" // what no output may hold

// lockedBuffer is written by the log and by the command.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// spoken is all that a command prints, and its exit status.
func spoken(ctx context.Context, args ...string) (string, int) {
	var out lockedBuffer
	status := Report(Run(ctx, args, &out, &out), &out)
	return out.String(), status
}

// commands are those that read the connection strings.
var commands = [][]string{{"check"}, {"check", "-json"}, {"setup"}, {"setup", "-print"}, {"run"}}

// settings is a configuration with the two URLs.
func settings(postgres, redis string) string {
	text := "origin: http://127.0.0.1:1\nlisten: 127.0.0.1:0\nadmin: 127.0.0.1:0\npostgres: { url: " + postgres + " }\n"
	if redis != "" {
		text += "redis: { url: " + redis + " }\n"
	}
	return text + "routes:\n  - path: /x\n    depends_on: [t]\n"
}

// inYAML is text as a quoted scalar in which nothing refers to the environment.
func inYAML(t testing.TB, text string) string {
	quoted, err := json.Marshal(strings.ReplaceAll(text, "${", "$${"))
	if err != nil {
		t.Fatal(err)
	}
	return string(quoted)
}

func clean(t testing.TB, dir, text string, ctx context.Context, verbs [][]string) (statuses []int) {
	t.Helper()
	file := filepath.Join(dir, "proxy.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range verbs {
		out, status := spoken(ctx, append(args, "-config", file)...)
		if strings.Contains(out, marker) {
			t.Errorf("%v shows the secret of\n%s\n%s", args, text, out)
		}
		statuses = append(statuses, status)
	}
	return statuses
}

// TestNoOutputHoldsASecret: wrong connection strings are a mistake in the configuration, of which nothing is shown, be they
// written in the file or taken from the environment.
func TestNoOutputHoldsASecret(t *testing.T) {
	dir := t.TempDir()
	for _, text := range []string{
		"postgres://app:p@ssw0rd@db/shop?sslmode=requre", "postgres://app:p@ssw0rd/word@db/shop", "postgres://app:p/ssw0rd@db/shop", "postgres://app:ssw0rd", "postgres://app:ssw0rd@db:x/shop",
		"host = h port = 5432x password = ssw0rdX", "host\t=\th port\t= 5432x password\t=\t'ssw0rd\\' X'", `host=h port=5432x password=a\ ssw0rd`, `host=h port=5432x password="a ssw0rd"`,
		`host=h password='it's ssw0rd'`, `host=h password=a\'ssw0rd b`, "host=h password=a ssw0rd", "host=h password=a ssw0rd=b", "host=h sslmode=requre password=ssw0rd", "host=h password='ssw0rd",
		"postgres://app@db/shop?password=ssw0rd&sslmode=requre", "postgres://app@db/shop?pass%77ord=ssw0rd&sslmode=no-verify", "postgres://app:%zzssw0rd@db/shop", "mysql://app:ssw0rd@db/shop", "ssw0rd",
		"postgres://app:ssw0rd@db/shop?sslrootcert=/ssw0rd", "postgres://app:ssw0rd@db/shop?sslrootcert=/nowhere&options=-c%20ssw0rd=1", "postgres://app:ssw0rd@db/shop?ssw0rd=1",
	} {
		for _, redis := range []string{"", `"redis://app:p@ssw0rd@h:6379/0"`, "redis://:ssw0rd", `"redis://app:ssw0rd@h:6379/zero"`, `"redis://h:6379/0?password=ssw0rd"`, `"redis+sentinel://s/m?sentinel_password=a@ssw0rd"`, `"redis://u:ssw0rd@h?protocol=ssw0rd"`} {
			for _, status := range clean(t, dir, settings(inYAML(t, text), redis), t.Context(), commands[:1+4*btoi(redis == "")]) {
				if status != 2 {
					t.Errorf("%q, %s: exit status %d, want 2", text, redis, status)
				}
			}
		}
		t.Setenv("DATABASE_URL", text)
		for _, status := range clean(t, dir, settings("${DATABASE_URL}", ""), t.Context(), commands) {
			if status != 2 {
				t.Errorf("%q from the environment: exit status %d, want 2", text, status)
			}
		}
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// TestSlipsInTheFileShowNoSecret: YAML that can't be read, URLs in the wrong place, misspelled keys.
func TestSlipsInTheFileShowNoSecret(t *testing.T) {
	const head = "origin: http://h\n"
	for _, text := range []string{
		head + "postgres: postgres://app:p@ssw0rd@db/shop\n", head + "postgres: host=h password=ssw0rd\n", head + "redis: redis://:ssw0rd@h\n", head + "tracing: http://h/?key=ssw0rd\n",
		head + "postgres: { uri: host=h password=a ssw0rd }\n", head + "postgres: { urll: \"host=h password=a\\tssw0rd\" }\n", head + "database_url: \"host=h password=a ssw0rd\"\n", head + "pg: {url: \"host=h password=a ssw0rd\"}\n",
		head + "postgres://app:p@ssw0rd@db/shop: x\n", head + "postgres: { url: [ \"host=h password=a ssw0rd\" ] }\n", head + "postgres: { url: { a: \"host=h password=a ssw0rd\" } }\n",
		head + "postgres:\n  url: \"host=h password=a ssw0rd\n  slot: x\n", head + "postgres:\n  url: host=h password=a: ssw0rd\n", head + "postgres:\n  url: >-\n    host=h\n    password=a ssw0rd\n  slot: [\n",
		head + "postgres:\n  url: 'host=h password=a'ssw0rd'\n", head + "postgres:\n  url: \"host=h\n   password=a\n   ssw0rd: x\"\n  slot: }\n", head + "postgres:\n\turl: host=h password=a ssw0rd\n", head + "postgres: {url: host=h password=a ssw0rd, slot: X Y}\n",
		head + "postgres:\n  url: postgres://app:${a ssw0rd}@h\n", head + "postgres:\n  url: postgres://app:${ssw0rd @h\n", head + "x: &db \"host=h password=a ssw0rd\"\npostgres: { url: *db }\n", head + "postgres:\n  url: !ssw0rd x\n  slot: [\n",
		head + "tracing: { url: \"http://u:p@ssw0rd@h/#x\" }\n", head + "tracing: { url: \"http://u:ssw0rd@h:x/\" }\n", head + "tracing: { url: \"http://h/?key=ssw0rd@x\" }\n", head + "postgres:\n  url: |ssw0rd\n   x\n",
	} {
		_, err := config.Parse("f", []byte(text), nil)
		if err == nil {
			t.Errorf("%s is taken", text)
		} else if strings.Contains(err.Error(), marker) {
			t.Errorf("%s\n%s", text, err)
		}
	}
}

// TestValuesFromTheEnvironmentAreNotShown, of any key.
func TestValuesFromTheEnvironmentAreNotShown(t *testing.T) {
	reference, err := os.ReadFile("../../config/proxy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	scalars := regexp.MustCompile(`(?m)^(\s*#?\s*(?:- )?[a-z_]+: +)([^\s#\[{>|][^#\n]*?)(\s*(?:#.*)?)$`)
	places := scalars.FindAllSubmatchIndex(reference, -1)
	if len(places) < 20 {
		t.Fatalf("%d scalars found", len(places))
	}
	for _, m := range places {
		for _, value := range []string{marker, "/" + marker + "/{a", "x." + marker, "lower(" + marker, "{a}/{a}/" + marker + "%zz", marker + "@x:y/z?a=b", "'" + marker, "path." + marker + "!", "body.a" + marker + "[x"} {
			text := string(reference[:m[4]]) + `"${VALUE}"` + string(reference[m[5]:])
			_, err := config.Parse("f", []byte(text), func(name string) (string, bool) { return value, name == "VALUE" })
			if err != nil && strings.Contains(err.Error(), marker) {
				t.Errorf("%q as %s\n%s", value, reference[m[2]:m[3]], err)
			}
		}
	}
}

// TestPlantedPasswordIsInNoOutput plants a password in URLs and in key=value pairs, as they want it written and as they don't,
// among the characters that take strings apart. Package config fuzzes the same without the commands around.
func TestPlantedPasswordIsInNoOutput(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("HOME", dir)
	pieces := rapid.SliceOfN(rapid.SampledFrom([]string{"@", "/", "?", "#", ":", " ", "\t", "'", `"`, `\`, "%", "%40", "=", "&", ",", "[", "]", "{", "}", "a", "5", "b=", "://", "$", "é", "\n"}), 0, 4)
	rapid.Check(t, func(r *rapid.T) {
		secret := strings.Join(pieces.Draw(r, "before"), "") + marker + strings.Join(pieces.Draw(r, "after"), "")
		mode := rapid.SampledFrom([]string{"disable", "require", "requre", "no-verify"}).Draw(r, "sslmode")
		quoted := "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(secret) + "'"
		for _, text := range []string{
			"postgres://app:" + secret + "@127.0.0.1:1/shop?sslmode=" + mode, "postgres://127.0.0.1:1/shop?sslmode=" + mode + "&password=" + secret,
			"host=127.0.0.1 port=1 password=" + secret + " sslmode=" + mode, "host\t=127.0.0.1 port=1 password = " + quoted + "\tsslmode\t=" + mode,
		} {
			// Nobody else's name is looked up: what can be read leads here.
			if conninfo.Check(text) == nil && !strings.HasPrefix(conninfo.Describe(text), "postgres://app@127.0.0.1:1") && !strings.HasPrefix(conninfo.Describe(text), "postgres://127.0.0.1:1") {
				r.Fatalf("%q leads to %s", text, conninfo.Describe(text))
			}
			clean(t, dir, settings(inYAML(t, text), ""), t.Context(), commands[:4])
			if t.Failed() {
				r.Fatalf("%q", text)
			}
		}
	})
}

// TestErrorsOfTheSurroundingsShowNoSecret: what the driver or the exporter says of what it can't use.
func TestErrorsOfTheSurroundingsShowNoSecret(t *testing.T) {
	for _, text := range []string{"postgres://app:ssw0rd@127.0.0.1:1/shop", "postgres://app:ssw0rd@127.0.0.1:1/shop?options=-c%20ssw0rd=1"} {
		clean(t, t.TempDir(), settings(inYAML(t, text), `"redis://app:ssw0rd@127.0.0.1:1/0"`), t.Context(), commands[:4])
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		clean(t, t.TempDir(), settings(inYAML(t, text), ""), ctx, commands[4:])
		cancel()
	}
	for err, want := range map[error]string{
		errors.New("traces export: failed to send to http://u:ssw0rd@h/v1/traces?key=ssw0rd: 404 Not Found (body: ssw0rd)"): "the endpoint answers 404 Not Found",
		errors.New("anything about ssw0rd"): "the endpoint doesn't take them",
	} {
		if got := lost(err); got != want {
			t.Errorf("%v: %q", err, got)
		}
	}
}

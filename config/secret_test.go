package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestRedactURL(t *testing.T) {
	for in, want := range map[string]string{
		"postgres://u:hunter2@h/d":                       "postgres://u:xxxxx@h/d",
		"postgres://u@h:5432/d":                          "postgres://u@h:5432/d",
		"redis://:hunter2@h:6379/0":                      "redis://:xxxxx@h:6379/0",
		"postgres://u:p@ss/w:o#r d@h/d":                  "postgres://u:xxxxx@h/d",
		"postgres://h/d?user=u&password=hunter2&x=y":     "postgres://h/d?user=u&password=xxxxx&x=y",
		"postgres://h/d?sslpassword=hunter2":             "postgres://h/d?sslpassword=xxxxx",
		"host=h password=hunter2 user=u":                 "host=h password=xxxxx user=u",
		"host=h password = 'hun ter\\'2' user=u":         "host=h password = xxxxx user=u",
		"host=h PASSWORD='hunter2":                       "host=h PASSWORD=xxxxx",
		"postgres://u:${PW}@h/d":                         "postgres://u:${PW}@h/d",
		"${URL:-postgres://u:hunter2@h/d}":               "${URL:-postgres://u:xxxxx@h/d}",
		"postgres://u:hunter2@h/d?password=hunter2@more": "postgres://u:xxxxx",
		"http://127.0.0.1:9000/":                         "http://127.0.0.1:9000/",
		"":                                               "",
	} {
		if got := RedactURL(in); got != want {
			t.Errorf("RedactURL(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestSecretsAreNeverPrinted(t *testing.T) {
	env := map[string]string{"DB": "postgres://u:hidden1@h/d", "CITY": "hidden2", "TOKEN": "hidden3", "SLOT": "hidden4"}
	c, err := Parse("f", []byte(`
origin: http://h
admin_token: ${TOKEN}
postgres: { url: "${DB}", slot: "${SLOT}" }
redis: { url: "redis://:hidden5@h/0" }
routes:
  - path: /a
    depends_on: [{ table: t, where: { city: "'${CITY}'" } }]
`), func(name string) (string, bool) { v, ok := env[name]; return v, ok })
	if err != nil {
		t.Fatal(err)
	}
	if string(c.Postgres.URL) != env["DB"] || string(c.AdminToken) != env["TOKEN"] || c.Postgres.Slot != env["SLOT"] ||
		c.Routes[0].DependsOn[0].Where[0].Any[0].Name != env["CITY"] {
		t.Fatalf("the values were not taken from the environment: %s", c)
	}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		fmt.Fprintf(&out, verb+"\n", c)
		fmt.Fprintf(&out, verb+"\n", *c)
		fmt.Fprintf(&out, verb+"\n", []any{c.AdminToken, c.Postgres.URL, c.Redis.URL})
	}
	fmt.Fprintf(&out, "%+v %#v %v\n", *c.Redis, *c.Redis, c.Routes[0])
	for _, value := range []any{c, *c, *c.Redis, c.AdminToken} {
		text, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(text)
		slog.New(slog.NewTextHandler(&out, nil)).Info("m", "v", value)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("m", "v", value)
	}
	if i := strings.Index(out.String(), "hidden"); i >= 0 {
		t.Errorf("a secret is printed: …%s…", out.String()[max(0, i-60):i+10])
	}
	if hex := fmt.Sprintf("%x", "hidden"); strings.Contains(out.String(), hex) {
		t.Error("a secret is printed in hexadecimal")
	}
	for _, want := range []string{"postgres.slot: ${SLOT}", "postgres.url: ${DB}", "city = '${CITY}'", "redis.url: redis://h/0", `"memory":"256MiB"`} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not printed", want)
		}
	}
}

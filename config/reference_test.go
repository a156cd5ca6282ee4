package config

import (
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// keys lists the yaml tags of a struct type and of the structs inside it.
func keys(t reflect.Type) []string {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice:
		return keys(t.Elem())
	case reflect.Struct:
		var list []string
		for i := range t.NumField() {
			if key := t.Field(i).Tag.Get("yaml"); key != "" {
				list = append(list, key)
				list = append(list, keys(t.Field(i).Type)...)
			}
		}
		return list
	}
	return nil
}

func TestReferenceNamesEveryKey(t *testing.T) {
	text, err := os.ReadFile("proxy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	all := keys(reflect.TypeFor[Config]())
	if len(all) < 40 {
		t.Fatalf("only %d keys found in the types", len(all))
	}
	for _, key := range append(all, "include", "exclude") {
		if !regexp.MustCompile(`(?m)^(# )?(  )?[^#\n]*\b` + key + `:`).Match(text) {
			t.Errorf("proxy.yaml does not show %s", key)
		}
	}
}

func TestReferenceShowsTheDefaults(t *testing.T) {
	reference, err := Load("proxy.yaml", nil)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := Parse("f", []byte("origin: http://127.0.0.1:9000\npostgres: { url: postgres://127.0.0.1/listings }\nredis: { url: redis://127.0.0.1:6379/0 }\naccess_log: { file: /var/log/walpurge/access.log }\ntracing: { url: \"http://127.0.0.1:4318\" }\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := plain.settings()
	if got := reference.settings(); !slices.Equal(got, want) {
		t.Errorf("proxy.yaml gives\n%v\nthe defaults are\n%v", reference.settings(), want)
	}
}

// A comment stands above every key of the reference's top level, so that nothing in it goes unexplained.
func TestReferenceExplainsEveryKey(t *testing.T) {
	text, err := os.ReadFile("proxy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	above := ""
	for i, line := range strings.Split(string(text), "\n") {
		if key := regexp.MustCompile(`^[a-z_]+:`).FindString(line); key != "" && key != "log:" && !strings.HasPrefix(above, "# ") {
			t.Errorf("line %d: no comment above %s", i+1, key)
		}
		above = line
	}
}

func TestMinimalIsTenLines(t *testing.T) {
	c, err := Load("minimal.yaml", nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Routes) != 2 || c.Postgres == nil || string(c.Postgres.URL) != "postgres://127.0.0.1/listings" {
		t.Errorf("minimal.yaml gives\n%s", c)
	}
	text, err := os.ReadFile("minimal.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), "\n"); n > 10 {
		t.Errorf("minimal.yaml has %d lines", n)
	}
}

// The table of misplaced keys names sections and keys that exist.
func TestMisplacedKeysAreSentToWhereTheyBelong(t *testing.T) {
	types := map[string]reflect.Type{
		"the configuration":      reflect.TypeFor[Config](),
		"postgres":               reflect.TypeFor[Postgres](),
		"redis":                  reflect.TypeFor[Redis](),
		"log":                    reflect.TypeFor[Log](),
		"position":               reflect.TypeFor[Position](),
		"tls":                    reflect.TypeFor[TLS](),
		"access_log":             reflect.TypeFor[AccessLog](),
		"tracing":                reflect.TypeFor[Tracing](),
		"a route":                reflect.TypeFor[Route](),
		"an entry of depends_on": reflect.TypeFor[Dependency](),
	}
	seen := map[string]string{}
	for section, list := range sections {
		if types[section] == nil {
			t.Errorf("there is no section %q", section)
			continue
		}
		known := keys(types[section])
		for _, key := range list {
			if !slices.Contains(known, key) {
				t.Errorf("%s has no key %s", section, key)
			}
			if other, twice := seen[key]; twice {
				t.Errorf("%s is listed for %s and %s", key, section, other)
			}
			seen[key] = section
		}
	}
}

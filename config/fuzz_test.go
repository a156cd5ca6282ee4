package config

import (
	"errors"
	"os"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzParse looks for text that makes the reader panic, for problems that stand nowhere in the file, and for
// configurations that are accepted although they break their own bounds.
func FuzzParse(f *testing.F) {
	for _, name := range []string{"proxy.yaml", "minimal.yaml"} {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	for _, text := range []string{
		"", "\n", "- a", "a: &a [*a]", "origin: http://h\n<<: *x", "origin: \"http://h\\t\"", "a: |\n  b\n", "? [a]\n: b",
		"routes: [{path: /{a}, depends_on: [{table: t, where: {a: [path.a, {from: 1}]}}]}]", "\xef\xbb\xbfa: 1\r\nb: ${X:-${Y}}",
		"origin: http://h\nroutes:\n- path: /a\n  depends_on: [{table: t, where: {lower(a): lower(trim('x'))}}]\npostgres: {url: 'a=b'}",
	} {
		f.Add([]byte(text))
	}
	env := func(name string) (string, bool) { return "zq 4711", name == "X" }
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := Parse("f", text, env)
		if err == nil {
			accepted(t, c)
			return
		}
		var problems *Errors
		if !errors.As(err, &problems) || len(problems.Problems) == 0 {
			t.Fatalf("the error is %#v", err)
		}
		lines := strings.Split(strings.ReplaceAll(strings.TrimPrefix(string(text), "\uFEFF"), "\r\n", "\n"), "\n")
		before := Pos{}
		for _, p := range problems.Problems {
			pos := Pos{p.Line, p.Column}
			if p.Line < 1 || p.Line > len(lines) || p.Column < 1 || p.Column > utf8.RuneCountInString(lines[p.Line-1])+1 {
				t.Errorf("outside the file: %s", p)
			}
			if pos.before(before) {
				t.Errorf("out of order: %s", p)
			}
			if before = pos; p.Message == "" || strings.ContainsAny(p.String(), "\n\r\x1b") {
				t.Errorf("not one line: %q", p.Message)
			}
		}
		if strings.Contains(err.Error(), "zq 4711") && !strings.Contains(string(text), "zq 4711") {
			t.Errorf("a value from the environment is shown: %s", err)
		}
	})
}

func accepted(t *testing.T, c *Config) {
	if c.Origin == nil || c.Origin.Host == "" || c.Memory < MiB || c.MaxObject > c.Memory || c.MaxObject < 1 ||
		c.MaxLag < minLag || c.MaxLag > maxLag || c.Audit < 0 || c.Audit > 1 || c.BulkRows < 1 {
		t.Errorf("out of bounds:\n%s", c)
	}
	for _, r := range c.Routes {
		if r.Pos.IsZero() || len(r.Pattern.Segments) == 0 || r.MaxLag < minLag || len(r.DependsOn) > 0 && c.Postgres == nil {
			t.Errorf("route %s", r)
		}
		for _, d := range r.DependsOn {
			if d.Table.Schema == "" || d.Table.Name == "" || d.Table.Pos.IsZero() {
				t.Errorf("dependency %s", d)
			}
			for _, w := range d.Where {
				if w.Pos.IsZero() || w.Column == "" || w.Range() && w.From == nil && w.To == nil {
					t.Errorf("condition %s", w)
				}
			}
		}
	}
}

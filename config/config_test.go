package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func mustParse(t *testing.T, text string) *Config {
	t.Helper()
	c, err := Parse("f", []byte(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestMissingFileIsAProblemWithItsName(t *testing.T) {
	path := filepath.Join(t.TempDir(), "none.yaml")
	_, err := Load(path, nil)
	var problems *Errors
	if !errors.As(err, &problems) || !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("got %#v", err)
	}
	if want := path + ": cannot read the configuration: no such file or directory; name a readable file with -config"; err.Error() != want {
		t.Errorf("got  %s\nwant %s", err, want)
	}
}

func TestLoadReadsTheFileAndTheEnvironment(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.yaml")
	if err := os.WriteFile(path, []byte("\uFEFForigin: http://${HOST}\r\nmemory: 2MiB\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(path, func(name string) (string, bool) { return "h:1", name == "HOST" })
	if err != nil {
		t.Fatal(err)
	}
	if c.Origin.Host != "h:1" || c.Memory != 2*MiB || c.MaxObject != 2*MiB {
		t.Errorf("got %s", c)
	}
}

func TestTextThatIsNotUTF8IsRefusedWithItsPlace(t *testing.T) {
	for text, want := range map[string]string{
		"origin: http://h\na: \x00":        "f:2:4: the character U+0000",
		"origin: http://h # \xff":          "f:1:20: the character U+FFFD",
		"origin: http://h\rlisten: x":      "f:1:17: the character U+000D",
		"a: \uE000":                        "f:1:4: the character U+E000",
		strings.Repeat("#\n", maxFile):     "f:1:1: the file is larger than 1 MiB",
		"a: \x1b[31m":                      "f:1:4: the character U+001B",
		"origin: \"http://h\\u0000\"":      "f:1:9: origin is not",
		"origin: http://h\n\"\\u001b\": 1": `f:2:1: unknown key "\x1b"`,
	} {
		_, err := Parse("f", []byte(text), nil)
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%.40q: got %v, want %s", text, err, want)
		}
		if err != nil && strings.ContainsAny(err.Error(), "\x00\x1b\r") {
			t.Errorf("%.40q: the message holds control characters", text)
		}
	}
}

func TestKeysKeepTheirPosition(t *testing.T) {
	c := mustParse(t, "origin: http://h\npostgres:\n  url: postgres://u:hunter22@h/d\n  slot: s\n")
	for key, want := range map[string]Pos{
		"origin":               {1, 9},
		"postgres.slot":        {4, 9},
		"postgres.publication": {3, 3},
		"redis.url":            {1, 1},
	} {
		if got := c.Pos(key); got != want {
			t.Errorf("%s stands at %v, want %v", key, got, want)
		}
	}
	problem := c.Problem(c.Pos("postgres.slot"), "the slot %q is gone; create it", "s")
	if got, want := problem.String(), `f:4:9: the slot "s" is gone; create it`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	err := NewErrors(problem, c.Problem(c.Pos("postgres.url"), "no answer; start it"), problem, c.Problem(Pos{99, 99}, "past the end"))
	want := `f:3:8: no answer; start it
      url: xxxxx
           ^
f:4:9: the slot "s" is gone; create it
      slot: s
            ^
f:5:1: past the end`
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
	if err := NewErrors(); err != nil {
		t.Errorf("no problems are the error %v", err)
	}
}

func TestManyProblemsAreCutShort(t *testing.T) {
	_, err := Parse("f", []byte("origin: http://h\n"+strings.Repeat("x: 1\n", maxPrinted+8)), nil)
	if err == nil || !strings.HasSuffix(err.Error(), "\nand 8 more") {
		t.Errorf("got %v", err)
	}
}

func TestLongLinesAreCutAroundTheCaret(t *testing.T) {
	_, err := Parse("f", []byte("origin: http://h\nmemory: "+strings.Repeat(" ", 1000)+"HERE"+strings.Repeat(" ", 1000)+"# end\n"), nil)
	if err == nil {
		t.Fatal("no problem found")
	}
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != 3 || len(lines[1]) > maxSource+4 {
		t.Fatalf("got %q", lines)
	}
	if caret := strings.IndexByte(lines[2], '^'); !strings.HasPrefix(lines[1][caret:], "HERE") {
		t.Errorf("the caret points at %q", lines[1][caret:])
	}
}

func TestWhatConditionsReadIsPartOfTheKey(t *testing.T) {
	c := mustParse(t, `
origin: http://h
postgres: { url: postgres://h/d }
routes:
  - path: /a
    query: [page]
    depends_on: [{ table: t, where: { a: [query.x, header.X-Tenant, cookie.C], b: { to: query.y } } }]
  - path: /b
    query: { exclude: [utm] }
`)
	q := c.Routes[0].Query
	for name, want := range map[string]bool{"page": true, "x": true, "y": true, "X": false, "z": false} {
		if q.Counts(name) != want {
			t.Errorf("/a: Counts(%q) = %v", name, !want)
		}
	}
	if len(c.Routes[0].Vary) != 2 {
		t.Errorf("/a: vary is %v", c.Routes[0].Vary)
	}
	if q := c.Routes[1].Query; q.Counts("utm") || !q.Counts("page") {
		t.Errorf("/b: query is %v", q)
	}
}

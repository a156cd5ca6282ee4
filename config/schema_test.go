package config

import (
	"bytes"
	"encoding/json"
	"flag"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

var update = flag.Bool("update", false, "write proxy.schema.json anew")

const schemaFile = "proxy.schema.json"

// explained adds to each key what the reference says of it.
func explained(t *testing.T, s shape) {
	t.Helper()
	text, err := os.ReadFile("proxy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	keyLine := regexp.MustCompile(`^([a-z_]+):`)
	comments := map[string]string{} // by dotted key, where the first place counts
	type level struct {
		indent int
		key    string
	}
	var path []level
	var above []string
	for line := range strings.SplitSeq(string(text), "\n") {
		plain := strings.TrimLeft(line, " -")
		indent := len(line) - len(plain)
		comment, isComment := strings.CutPrefix(plain, "# ")
		key := keyLine.FindStringSubmatch(plain)
		switch {
		case isComment:
			above = append(above, comment)
			continue
		case key == nil:
			above = nil
			continue
		}
		for len(path) > 0 && path[len(path)-1].indent >= indent {
			path = path[:len(path)-1]
		}
		path = append(path, level{indent, key[1]})
		var names []string
		for _, l := range path {
			names = append(names, l.key)
		}
		dotted := strings.Join(names, ".")
		if _, known := comments[dotted]; !known && len(above) > 0 {
			comments[dotted] = strings.Join(above, " ")
		}
		above = nil
	}
	var walk func(s shape, at string)
	walk = func(s shape, at string) {
		if properties, ok := s["properties"].(shape); ok {
			for key, value := range properties {
				value := maps.Clone(value.(shape))
				properties[key] = value
				name := strings.TrimPrefix(at+"."+key, ".")
				if comment := comments[name]; comment != "" {
					value["description"] = comment
				}
				walk(value, name)
			}
		}
		if items, ok := s["items"].(shape); ok {
			walk(items, at)
		}
		if any, ok := s["anyOf"].([]shape); ok {
			for _, one := range any {
				walk(one, at)
			}
		}
	}
	walk(s, "")
}

func TestSchemaKnowsEveryKey(t *testing.T) {
	_, missing := schema()
	for _, key := range missing {
		t.Errorf("the schema can't say what %s takes: read it with a helper of the decoder that notes a shape, or call d.note with one of its own (see schema.go)", key)
	}
}

func TestSchemaIsFresh(t *testing.T) {
	s, _ := schema()
	explained(t, s)
	s["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	s["title"] = "The configuration of walpurge's proxy"
	var want bytes.Buffer
	e := json.NewEncoder(&want)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(s); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(schemaFile, want.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(schemaFile)
	if err != nil || !bytes.Equal(got, want.Bytes()) {
		t.Errorf("%s is not what the decoder takes (%v); make it again: go test ./config -run TestSchemaIsFresh -update", schemaFile, err)
	}
}

func compileSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	s, err := jsonschema.NewCompiler().Compile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// document is a configuration as an editor sees it: nothing of the environment is filled in.
func document(t *testing.T, text string) (any, bool) {
	t.Helper()
	r := &reader{src: newSource("f", text), env: func(string) (string, bool) { return "x", true }, anchors: map[string]*node{}}
	root := r.read(text)
	if root == nil || len(r.problems) > 0 {
		return nil, false
	}
	var value func(*node) any
	value = func(n *node) any {
		switch n.kind {
		case mapping:
			m := map[string]any{}
			for _, e := range n.entries {
				m[e.key] = value(e.value)
			}
			return m
		case sequence:
			list := []any{}
			for _, item := range n.items {
				list = append(list, value(item))
			}
			return list
		case null:
			return nil
		}
		var typed any
		d := json.NewDecoder(strings.NewReader(n.raw))
		d.UseNumber()
		if n.plain && d.Decode(&typed) == nil && d.InputOffset() == int64(len(n.raw)) {
			return typed
		}
		return n.raw
	}
	return value(root), true
}

func TestSchemaTakesTheReferences(t *testing.T) {
	s := compileSchema(t)
	for _, file := range []string{"proxy.yaml", "minimal.yaml", "compose.yaml"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		doc, ok := document(t, string(text))
		if !ok {
			t.Fatalf("%s is not read", file)
		}
		if err := s.Validate(doc); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// TestSchemaAgreesWithTheDecoder: whatever the decoder takes, an editor does not complain of; of an unknown key both do.
func TestSchemaAgreesWithTheDecoder(t *testing.T) {
	s := compileSchema(t)
	accepted, refused := 0, 0
	datadriven.Walk(t, "testdata/scripts", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			doc, ok := document(t, d.Input)
			if !ok {
				return d.Expected
			}
			err := s.Validate(doc)
			failed := regexp.MustCompile(`(?m)^f:\d+:\d+: `).MatchString(d.Expected)
			switch {
			case !failed && err != nil:
				t.Errorf("%s: the decoder takes this, the schema doesn't: %v\n%s", d.Pos, err, d.Input)
			case !failed:
				accepted++
			case strings.Contains(d.Expected, ": unknown key ") && err == nil:
				t.Errorf("%s: the schema takes an unknown key:\n%s", d.Pos, d.Input)
			case strings.Contains(d.Expected, ": unknown key "):
				refused++
			}
			return d.Expected
		})
	})
	if accepted < 10 || refused < 5 {
		t.Errorf("only %d accepted and %d refused configurations were compared", accepted, refused)
	}
}

// TestSchemaRequiresWhatTheDecoderRequires: the one list that stands beside the decoder agrees with it.
func TestSchemaRequiresWhatTheDecoderRequires(t *testing.T) {
	s := compileSchema(t)
	for _, text := range []string{
		"listen: 127.0.0.1:1", "origin: http://h\npostgres: { slot: a }", "origin: http://h\nredis: { namespace: a }",
		"origin: http://h\nroutes: [{ ttl: 1s }]", "origin: http://h\nroutes: [{ path: /a, depends_on: [{ columns: [a] }] }]",
	} {
		doc, ok := document(t, text)
		if !ok {
			t.Fatal(text)
		}
		if _, err := Parse("f", []byte(text), nil); err == nil || s.Validate(doc) == nil {
			t.Errorf("decoder: %v, schema: %v\n%s", err, s.Validate(doc), text)
		}
	}
	for section := range required {
		if section != "the configuration" && !slices.Contains(slices.Collect(maps.Keys(sections)), section) {
			t.Errorf("there is no section %q", section)
		}
	}
}

// TestSchemaRefusesWhatIsOutOfBounds: bounds and choices are the decoder's.
func TestSchemaRefusesWhatIsOutOfBounds(t *testing.T) {
	s := compileSchema(t)
	for _, line := range []string{
		"bulk_rows: 0", "bulk_rows: many", "log: { level: loud }", "memory: 1MB5", "memory: 12", "max_lag: 5", "max_lag: soon",
		"audit: 2", "trusted_proxies: 10.0.0.0/8", "routes: { path: /a }", "listen: [a]", "routes: [{ path: /a, consistency: eventual }]",
	} {
		text := "origin: http://h\n" + line
		doc, ok := document(t, text)
		if !ok {
			t.Fatal(text)
		}
		if _, err := Parse("f", []byte(text), nil); err == nil || s.Validate(doc) == nil {
			t.Errorf("decoder: %v, schema: %v\n%s", err, s.Validate(doc), line)
		}
	}
}

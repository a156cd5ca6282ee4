package config

import (
	"fmt"
	"reflect"
	"strings"
	"time"
)

// shape is a JSON schema (draft 2020-12) as it is written to proxy.schema.json.
type shape map[string]any

// description is what a decoder notes down when it is asked what it would read instead of reading: the helpers that
// every key is read with ([decoder.text], [decoder.size], …) each leave the shape of what they take.
type description struct {
	shapes  []shape  // taken by the value that is being described
	missing []string // keys of which no helper has told anything
	path    []string // of the value
}

// note leaves a shape, if the decoder is describing. It tells whether it is.
func (d *decoder) note(s shape) bool {
	if d.describing == nil {
		return false
	}
	for _, known := range d.describing.shapes {
		if reflect.DeepEqual(known, s) {
			return true
		}
	}
	d.describing.shapes = append(d.describing.shapes, s)
	return true
}

// schema describes the whole file. missing are the keys that it can't describe.
func schema() (s shape, missing []string) {
	c := defaults()
	c.src = newSource("", "")
	d := &decoder{src: c.src, config: &c, describing: &description{}}
	d.root(&node{kind: mapping})
	return d.describing.shapes[0], d.describing.missing
}

// describe returns the shape of what read takes: what it does with each kind of value, together.
func (d *decoder) describe(key string, read func(*node)) shape {
	outer := *d.describing
	d.describing.shapes = nil
	if key != "" {
		d.describing.path = append(outer.path[:len(outer.path):len(outer.path)], key)
	}
	for _, n := range []*node{{kind: scalar, text: "x", raw: "x"}, {kind: sequence}, {kind: mapping}} {
		read(n)
	}
	found := d.describing.shapes
	if len(found) == 0 {
		d.describing.missing = append(d.describing.missing, strings.Join(d.describing.path, "."))
	}
	d.describing.shapes, d.describing.path = outer.shapes, outer.path
	if len(found) == 1 {
		return found[0]
	}
	return shape{"anyOf": found}
}

// required are the keys without which a mapping is refused, by what the mapping is called in messages.
var required = map[string][]string{
	"the configuration":      {"origin"},
	"postgres":               {"url"},
	"redis":                  {"url"},
	"tls":                    {"cert", "key"},
	"access_log":             {"file"},
	"tracing":                {"url"},
	"a route":                {"path"},
	"an entry of depends_on": {"table"},
}

// noteFields leaves the shape of a mapping whose keys are known.
func (d *decoder) noteFields(path string, fields []field) bool {
	if d.describing == nil {
		return false
	}
	properties := shape{}
	for _, f := range fields {
		properties[f.key] = d.describe(f.key, f.read)
	}
	s := shape{"type": "object", "properties": properties, "additionalProperties": false}
	if keys := required[whole(path)]; keys != nil {
		s["required"] = keys
	}
	return d.note(s)
}

// noteList leaves the shape of a list.
func (d *decoder) noteList(read func(*node)) bool {
	return d.describing != nil && d.note(shape{"type": "array", "items": d.describe("", read)})
}

// Shapes of scalars. YAML gives what isn't quoted the type that it looks like, and the decoder takes the text of any.
var (
	anyScalar = shape{"type": []string{"string", "number", "boolean"}}
	fromEnv   = shape{"type": "string", "pattern": `\$\{`} // what the variable holds shows when the proxy starts
)

func sizeShape(low, high Size) shape {
	return shape{"anyOf": []shape{
		{"type": "string", "pattern": `^[0-9]+(\.[0-9]{1,9})?\s*([kKmMgGtT][iI]?)?[bB]?$`, "description": fmt.Sprintf("a size from %s to %s", low, high)},
		{"type": "integer", "minimum": int64(low)},
		fromEnv,
	}}
}

func durationShape(low, high time.Duration) shape {
	return shape{"anyOf": []shape{
		{
			"type": "string", "pattern": `^(0|[0-9]+d)?([0-9]*\.?[0-9]*(ns|us|µs|μs|ms|s|m|h))*$`, "minLength": 1,
			"description": fmt.Sprintf("a duration from %s to %s", low, high),
		},
		{"const": 0},
		fromEnv,
	}}
}

func integerShape(low, high int) shape {
	return shape{"anyOf": []shape{
		{"type": "integer", "minimum": low, "maximum": high},
		{"type": "string", "pattern": `^[0-9][0-9_]*$`},
		fromEnv,
	}}
}

func choiceShape(words []string) shape {
	choices := make([]any, 0, len(words))
	for _, w := range words {
		switch w {
		case "true", "false": // which YAML reads as truth values
			choices = append(choices, w == "true")
		}
		choices = append(choices, w)
	}
	return shape{"anyOf": []shape{{"enum": choices}, fromEnv}}
}

// whereShape is that of conditions, whose keys are columns.
func whereShape() shape {
	end := anyScalar
	return shape{"type": "object", "additionalProperties": shape{"anyOf": []shape{
		anyScalar,
		{"type": "array", "items": anyScalar, "minItems": 1},
		{"type": "object", "properties": shape{"from": end, "to": end}, "additionalProperties": false, "minProperties": 1},
	}}}
}

// shareShape is that of a number from 0 to 1.
func shareShape() shape {
	return shape{"anyOf": []shape{{"type": "number", "minimum": 0, "maximum": 1}, {"type": "string", "pattern": `^[0-9.eE+-]+$`}, fromEnv}}
}

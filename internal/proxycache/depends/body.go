package depends

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"walpurge/internal/expr"
)

// MaxBodyValues bounds the values that one expression finds in a body. With
// more there is no condition, which over-matches.
const MaxBodyValues = 4096

// Document is a JSON body. A nil one is not known, or not readable.
type Document struct{ root any }

// ReadDocument reads a body as JSON. It is nil for one in another form: a
// page, a compressed one, one that isn't well-formed.
func ReadDocument(h http.Header, body []byte) *Document {
	if coding := h.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber() // a number's digits are compared, not its float
	var root any
	if err := d.Decode(&root); err != nil || d.More() {
		return nil
	}
	return &Document{root}
}

// values finds what stands at the end of steps, as text. A null on the way is
// no value, as NULL satisfies no condition; an array may be empty. ok is false
// when the document hasn't the form that steps describe: then nobody knows.
func (d *Document) values(steps []expr.Step) (values []string, ok bool) {
	if d == nil {
		return nil, false
	}
	values, ok = collect(d.root, steps, nil)
	return values, ok && len(values) <= MaxBodyValues
}

func collect(v any, steps []expr.Step, values []string) ([]string, bool) {
	if v == nil {
		return values, true
	}
	if len(steps) == 0 {
		switch v := v.(type) {
		case string:
			// The decoder puts U+FFFD in the place of what is no character.
			return append(values, v), !strings.ContainsAny(v, "\x00\uFFFD")
		case json.Number:
			return append(values, v.String()), true
		case bool:
			return append(values, strconv.FormatBool(v)), true
		}
		return nil, false
	}
	step, rest := steps[0], steps[1:]
	if step.Kind == expr.Member {
		object, ok := v.(map[string]any)
		if !ok {
			return nil, false
		}
		member, ok := object[step.Name]
		if !ok {
			return nil, false
		}
		return collect(member, rest, values)
	}
	array, ok := v.([]any)
	switch {
	case !ok:
		return nil, false
	case step.Kind == expr.Element && step.Index >= len(array):
		return values, true
	case step.Kind == expr.Element:
		return collect(array[step.Index], rest, values)
	}
	for _, element := range array {
		if values, ok = collect(element, rest, values); !ok {
			return nil, false
		}
	}
	return values, true
}

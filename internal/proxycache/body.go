package proxycache

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"walpurge/internal/coherence"
)

// Step is one step of the way to values in a JSON document: to a member of an
// object, to one element of an array, or to all of them.
type Step struct {
	Kind  StepKind
	Name  string // of a Member
	Index int    // of an Element, from 0
}

// StepKind tells the steps apart.
type StepKind uint8

// The kinds of steps.
const (
	Member   StepKind = iota // .name
	Element                  // [n]
	Elements                 // [*]
)

func stepsString(steps []Step) string {
	var b strings.Builder
	b.WriteString("body")
	for _, s := range steps {
		switch s.Kind {
		case Member:
			b.WriteString("." + s.Name)
		case Element:
			b.WriteString("[" + strconv.Itoa(s.Index) + "]")
		case Elements:
			b.WriteString("[*]")
		}
	}
	return b.String()
}

// maxBodyValues bounds the values that one expression finds in a body. With
// more there is no condition, which over-matches.
const maxBodyValues = 4096

// document is a JSON body. A nil one is not known, or not readable.
type document struct{ root any }

// readDocument reads a body as JSON. It is nil for one in another form: a
// page, a compressed one, one that isn't well-formed.
func readDocument(h http.Header, body []byte) *document {
	if coding := h.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber() // a number's digits are compared, not its float
	var root any
	if err := d.Decode(&root); err != nil || d.More() {
		return nil
	}
	return &document{root}
}

// values finds what stands at the end of steps, as text. A null on the way is
// no value, as NULL satisfies no condition; an array may be empty. ok is false
// when the document hasn't the form that steps describe: then nobody knows.
func (d *document) values(steps []Step) (values []string, ok bool) {
	if d == nil {
		return nil, false
	}
	values, ok = collect(d.root, steps, nil)
	return values, ok && len(values) <= maxBodyValues
}

func collect(v any, steps []Step, values []string) ([]string, bool) {
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
	if step.Kind == Member {
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
	case step.Kind == Element && step.Index >= len(array):
		return values, true
	case step.Kind == Element:
		return collect(array[step.Index], rest, values)
	}
	for _, element := range array {
		if values, ok = collect(element, rest, values); !ok {
			return nil, false
		}
	}
	return values, true
}

// late tells whether the dependency is known only with the whole response.
func (d *Dependency) late() bool {
	fromBody := func(e *Expr) bool { return e != nil && e.Source == Body }
	for _, any := range d.Equal {
		for i := range any {
			if fromBody(&any[i]) {
				return true
			}
		}
	}
	return slices.ContainsFunc(d.Ranges, func(r Range) bool { return fromBody(r.From) || fromBody(r.To) })
}

// bindLate gives the dependencies that read the body their values. One whose
// values are known to be none depends on no row at all.
func (rt *route) bindLate(g *coherence.Guard, s *subject) []coherence.Dependency {
	var deps []coherence.Dependency
	for i := range rt.Depends {
		d := &rt.Depends[i]
		if !d.late() {
			continue
		}
		equal, ranges := d.operands(g, s)
		if d.nothing(equal, s) {
			continue
		}
		deps = append(deps, bindMany(g, &d.Template, equal, ranges)...)
	}
	return deps
}

// nothing tells whether an equality with values of the body alone has none.
func (d *Dependency) nothing(equal []coherence.Operand, s *subject) bool {
	for i, any := range d.Equal {
		doubtful := slices.ContainsFunc(any, func(e Expr) bool {
			if e.Source != Body {
				return true
			}
			_, ok := s.values(&e, nil)
			return !ok
		})
		if !equal[i].Present && !doubtful {
			return true
		}
	}
	return false
}

// bindBatch is how many values of one condition are bound at once; the guard
// takes no more (coherence.Guard.Bind).
const bindBatch = 16

// bindMany binds a template of which one operand may have many values.
func bindMany(g *coherence.Guard, t *coherence.Template, equal []coherence.Operand, ranges []coherence.Bounds) []coherence.Dependency {
	most := -1
	for i, op := range equal {
		if len(op.Values) > bindBatch && (most < 0 || len(op.Values) > len(equal[most].Values)) {
			most = i
		}
	}
	if most < 0 {
		return g.Bind(t, equal, ranges)
	}
	all := slices.Clone(equal[most].Values)
	slices.Sort(all)
	var deps []coherence.Dependency
	part := slices.Clone(equal)
	for values := range slices.Chunk(slices.Compact(all), bindBatch) {
		part[most].Values = values
		deps = append(deps, g.Bind(t, part, ranges)...)
	}
	return deps
}

// lateDeps are the dependencies that are known only with the whole response.
func (f *fetch) lateDeps(h http.Header, body []byte) []coherence.Dependency {
	if !f.order.route.late {
		return nil
	}
	s := *f.order.subject
	s.body = readDocument(h, body)
	return f.order.route.bindLate(f.fills.guard, &s)
}

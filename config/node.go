package config

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

type kind int

const (
	null kind = iota
	scalar
	mapping
	sequence
)

// node is a YAML value with its place: aliases are resolved, merges done, the environment filled in.
type node struct {
	kind    kind
	pos     Pos
	text    string   // scalar: its value
	raw     string   // scalar: as it stands in the file, before the environment was filled in
	env     []string // scalar: the environment variables whose values are in text
	plain   bool     // scalar: not quoted
	exact   bool     // scalar: the character i of text stands in column pos.Column+i (one more when quoted)
	broken  bool     // scalar: its reference to the environment failed, which has been reported
	entries []entry
	items   []*node
}

type entry struct {
	key   string
	pos   Pos
	value *node
}

// at returns the position of the byte offset in the scalar's text, as well as it is known.
func (n *node) at(offset int) Pos {
	pos := n.pos
	if !n.exact {
		return pos
	}
	pos.Column += utf8.RuneCountInString(n.text[:offset])
	if !n.plain {
		pos.Column++
	}
	return pos
}

// show names the scalar in a message. What came from the environment isn't shown.
func (n *node) show() string {
	if len(n.env) > 0 {
		return "the value of ${" + strings.Join(n.env, "} and ${") + "}"
	}
	if len(passwordSpans(n.text)) > 0 {
		return "a value that looks like a connection string"
	}
	return fmt.Sprintf("%q", n.text)
}

func (n *node) what() string {
	switch n.kind {
	case mapping:
		return "keys and values"
	case sequence:
		return "a list"
	case scalar:
		return n.show()
	}
	return "nothing"
}

// reader turns the parser's tree into nodes.
type reader struct {
	src      *source
	env      func(string) (string, bool)
	anchors  map[string]*node // nil while the anchor's own value is being read
	problems []Problem
}

func (r *reader) fail(pos Pos, format string, args ...any) {
	r.problems = append(r.problems, r.src.problem(pos, format, args...))
}

// read parses the text. It returns nil when there is nothing in it or it isn't YAML.
func (r *reader) read(text string) *node {
	for i, line := range r.src.lines {
		column := 0
		for _, c := range line {
			column++
			if c != '\t' && !printable(c) {
				r.fail(Pos{i + 1, column}, "the character %U is not allowed; the file must be plain UTF-8 text", c)
				return nil
			}
		}
	}
	file, err := parseYAML(notations.ReplaceAllStringFunc(text, hide.Replace))
	if err != nil {
		pos, message := Pos{1, 1}, err.Error()
		if positioned := yaml.Error(nil); errors.As(err, &positioned) {
			message = positioned.GetMessage()
			if t := positioned.GetToken(); t != nil && t.Position != nil {
				pos = Pos{t.Position.Line, t.Position.Column}
			}
		}
		r.fail(pos, "%s; mend the YAML here, and check the quotes, brackets and indentation just before", quotation.ReplaceAllString(bare.Replace(message), "what stands here"))
		return nil
	}
	var root *node
	for _, doc := range file.Docs {
		switch {
		case doc.Body == nil:
		case root != nil:
			r.fail(position(doc.Body), "a second YAML document begins here; keep one configuration in a file")
			return root
		default:
			root = r.node(doc.Body)
		}
	}
	return root
}

// quotation is what the parser quotes of the file.
var quotation = regexp.MustCompile(`"(?:[^"\\]|\\.)*"?|'[^']{3,}'`)

func position(n ast.Node) Pos {
	if m, ok := n.(*ast.MappingNode); ok && len(m.Values) > 0 && !m.IsFlowStyle {
		return position(m.Values[0].Key)
	}
	if m, ok := n.(*ast.MappingValueNode); ok {
		return position(m.Key)
	}
	if n == nil || n.GetToken() == nil || n.GetToken().Position == nil {
		return Pos{1, 1}
	}
	return Pos{n.GetToken().Position.Line, n.GetToken().Position.Column}
}

func (r *reader) node(n ast.Node) *node {
	pos := position(n)
	switch n := n.(type) {
	case *ast.MappingNode:
		return r.mapping(pos, n.Values)
	case *ast.MappingValueNode:
		return r.mapping(pos, []*ast.MappingValueNode{n})
	case *ast.SequenceNode:
		list := &node{kind: sequence, pos: pos}
		for _, v := range n.Values {
			list.items = append(list.items, r.node(v))
		}
		return list
	case *ast.AnchorNode:
		name := n.Name.GetToken().Value
		r.anchors[name] = nil
		v := r.node(n.Value)
		r.anchors[name] = v
		return v
	case *ast.AliasNode:
		name := n.Value.GetToken().Value
		v, known := r.anchors[name]
		switch {
		case !known:
			r.fail(pos, "no anchor &%s stands above *%s; define it before it is used", name, name)
		case v == nil:
			r.fail(pos, "*%s is inside its own anchor &%s; write the value out", name, name)
		default:
			return v
		}
		return &node{kind: scalar, pos: pos, broken: true}
	case *ast.TagNode:
		return r.node(n.Value)
	case *ast.LiteralNode:
		return r.scalar(pos, n.Value.Value, false, false)
	case *ast.NullNode:
		return &node{kind: null, pos: pos}
	case *ast.StringNode:
		t := n.GetToken()
		quoted := t.Type == token.SingleQuoteType || t.Type == token.DoubleQuoteType
		return r.scalar(pos, n.Value, !quoted, true)
	case ast.ScalarNode:
		return r.scalar(pos, n.GetToken().Value, true, true)
	}
	return &node{kind: null, pos: pos}
}

func (r *reader) scalar(pos Pos, text string, plain, inline bool) *node {
	n := &node{kind: scalar, pos: pos, raw: bare.Replace(text), plain: plain}
	x, offset, err := expand(n.raw, r.env)
	n.text, n.env = x.text, x.names
	// What the parser returns and what the line holds agree unless there are escapes or line breaks in it.
	n.exact = inline && !x.moved && r.holds(pos, n.raw, plain)
	if err != nil {
		n.broken = true
		where := n.pos
		if inline && r.holds(pos, n.raw, plain) {
			where = (&node{pos: pos, text: n.raw, plain: plain, exact: true}).at(offset)
		}
		r.fail(where, "%s", err)
	}
	return n
}

// holds reports whether text stands in the file at pos, after a quote unless plain.
func (r *reader) holds(pos Pos, text string, plain bool) bool {
	if pos.Line < 1 || pos.Line > len(r.src.lines) {
		return false
	}
	line := []rune(r.src.lines[pos.Line-1])
	from := pos.Column - 1
	if !plain {
		from++
	}
	want := []rune(text)
	return from >= 0 && from+len(want) <= len(line) && string(line[from:from+len(want)]) == text
}

// mapping reads keys and values. Keys merged from elsewhere (<<) stand behind those written here and yield to them.
func (r *reader) mapping(pos Pos, values []*ast.MappingValueNode) *node {
	m := &node{kind: mapping, pos: pos}
	seen := map[string]Pos{}
	var merged []*node
	for _, v := range values {
		at := position(v.Key)
		if v.Key.Type() == ast.MergeKeyType {
			merged = append(merged, r.node(v.Value))
			continue
		}
		key, ok := r.key(v.Key)
		if !ok {
			r.fail(at, "a key must be plain text")
			continue
		}
		if first, again := seen[key]; again {
			r.fail(at, "the key %q stands here a second time, first in line %d; keep one of them", key, first.Line)
			continue
		}
		seen[key] = at
		m.entries = append(m.entries, entry{key, at, r.node(v.Value)})
	}
	for _, from := range merged {
		if from.kind == sequence {
			for _, item := range from.items {
				r.merge(m, item, seen)
			}
			continue
		}
		r.merge(m, from, seen)
	}
	return m
}

func (r *reader) merge(into, from *node, seen map[string]Pos) {
	if from.kind != mapping {
		if !from.broken {
			r.fail(from.pos, "<< merges keys and values, not %s; give it an alias of a mapping", from.what())
		}
		return
	}
	for _, e := range from.entries {
		if _, again := seen[e.key]; !again {
			seen[e.key] = e.pos
			into.entries = append(into.entries, e)
		}
	}
}

func (r *reader) key(n ast.MapKeyNode) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return bare.Replace(n.Value), true
	case *ast.MappingKeyNode:
		if key, ok := n.Value.(ast.MapKeyNode); ok {
			return r.key(key)
		}
		return "", false
	case *ast.NullNode, *ast.AnchorNode, *ast.AliasNode, *ast.TagNode:
		return "", false
	case ast.ScalarNode:
		return bare.Replace(n.GetToken().Value), true
	}
	return "", false
}

package proxycache

import (
	"net/http"
	"strconv"

	"github.com/dunglas/httpsfv"

	"walpurge/internal/coherence"
	"walpurge/internal/identifier"
)

// dependsOnField is the response field with which a service says which rows a
// response is computed from: a list of tables, each with conditions as
// parameters (RFC 9651), such as
//
//	Depends-On: listings;id=42, agents;id=7, "app.Price list", "\"a.b\".outbox"
//
// A name without a schema is one of the schema public, and a part that holds a
// dot stands in double quotes. Several members of one
// table add up: the response depends on the rows of any of them.
const dependsOnField = "Depends-On"

// maxDeclared bounds the members of one response's Depends-On. A response with
// more is not kept.
const maxDeclared = 1024

// dependsOn reads the field. found tells whether the response has it, ok
// whether everything it says can be followed: a table that isn't watched, or a
// field that can't be read, can't.
func dependsOn(g *coherence.Guard, h http.Header) (deps []coherence.Dependency, found, ok bool) {
	values := h[dependsOnField]
	if len(values) == 0 {
		return nil, false, true
	}
	list, err := httpsfv.UnmarshalList(values)
	if err != nil || len(list) > maxDeclared {
		return nil, true, false
	}
	for _, member := range list {
		item, isItem := member.(httpsfv.Item)
		if !isItem {
			return nil, true, false
		}
		id, known := namedTable(g, item.Value)
		if !known {
			return nil, true, false
		}
		deps = append(deps, declaredRows(g, id, item.Params)...)
	}
	return deps, true, true
}

func namedTable(g *coherence.Guard, name any) (coherence.TableID, bool) {
	var text string
	switch name := name.(type) {
	case httpsfv.Token:
		text = string(name)
	case string:
		text = name
	case httpsfv.DisplayString: // which alone is more than ASCII
		text = string(name)
	default:
		return 0, false
	}
	return g.Table(identifier.Canonical(text))
}

// declaredRows makes the dependency on the rows of a table that have the
// parameters' values. A column that isn't watched, or a value of a kind that
// has no text, is no condition.
func declaredRows(g *coherence.Guard, id coherence.TableID, params *httpsfv.Params) []coherence.Dependency {
	table := &g.Tables()[id]
	t := coherence.Template{Table: id}
	var equal []coherence.Operand
	for _, name := range params.Names() {
		value, _ := params.Get(name)
		text, ok := bareText(value)
		column := table.Column(name)
		if !ok || column < 0 {
			continue
		}
		t.Equal = append(t.Equal, coherence.Equal{Column: column})
		equal = append(equal, coherence.Operand{Present: true, Values: []string{text}})
	}
	return g.Bind(&t, equal, nil)
}

// bareText is a bare item (RFC 9651 section 3.3) as the text of a value.
func bareText(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case httpsfv.Token:
		return string(v), true
	case int64:
		return strconv.FormatInt(v, 10), true
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), true
	case bool:
		return strconv.FormatBool(v), true
	}
	return "", false
}

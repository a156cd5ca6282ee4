package depends

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/dunglas/httpsfv"

	"walpurge/internal/coherence"
	"walpurge/internal/identifier"
)

// FieldName is the response field with which a service says which rows a
// response is computed from: a list of tables, each with conditions as
// parameters (RFC 9651), such as
//
//	Depends-On: listings;id=42, agents;id=7, "app.Price list", "\"a.b\".outbox"
//
// A name without a schema is one of the schema public, and a part that holds a
// dot stands in double quotes. Several members of one
// table add up: the response depends on the rows of any of them. A column is
// named by its name in lower case, as keys are. An empty list is no field.
const FieldName = "Depends-On"

// MaxDeclared bounds the members of one response's Depends-On. A response with
// more is not kept.
const MaxDeclared = 1024

// Why a response's Depends-On can't be followed, for the log.
const (
	EmptyField    = "Depends-On is empty, which is as if it weren't there (RFC 9651, 3.1); name what the response depends on"
	malformed     = "Depends-On can't be read as a structured field (RFC 9651); put values that are no numbers, identifiers, uuids and dates for instance, in double quotes"
	upperCaseKey  = "Depends-On has a key in capitals, and keys of structured fields have none (RFC 9651, 3.1.2); name the column by its lower-case key, userid for userId"
	repeatedKey   = "a member of Depends-On names a column twice, and only the last would count (RFC 9651, 4.2.3.2); name two rows as two members: t;id=1, t;id=2"
	noTable       = "a member of Depends-On is not a table"
	unwatched     = "a member of Depends-On names a table that isn't watched; list it under postgres.watch, or in a route's depends_on"
	tooManyTables = "Depends-On has too many members; name fewer rows, or tables without conditions"
)

// Named reads the field. found tells whether the response has it; wrong
// says why what it says can't be followed, and is empty where it can.
func Named(g *coherence.Guard, h http.Header) (deps []coherence.Dependency, found bool, wrong string) {
	values := h[FieldName]
	if len(values) == 0 {
		return nil, false, ""
	}
	list, err := httpsfv.UnmarshalList(values)
	params := readParams(strings.Join(values, ","))
	switch {
	case err != nil && slices.ContainsFunc(params, param.capital):
		return nil, true, upperCaseKey
	case err != nil:
		return nil, true, malformed
	case len(list) > MaxDeclared:
		return nil, true, tooManyTables
	}
	for i, member := range list {
		item, isItem := member.(httpsfv.Item)
		if !isItem {
			return nil, true, noTable
		}
		id, known := namedTable(g, item.Value)
		if !known {
			return nil, true, unwatched
		}
		var said []param
		for _, p := range params {
			if p.member == i {
				said = append(said, p)
			}
		}
		if len(said) != len(item.Params.Names()) {
			return nil, true, repeatedKey
		}
		deps = append(deps, declaredRows(g, id, item.Params, said)...)
	}
	return deps, len(list) > 0, ""
}

// IsKey tells whether a name can be a key of a structured field (RFC 9651
// section 3.1.2), as Depends-On names columns.
func IsKey(name string) bool {
	for i, c := range []byte(name) {
		letter := 'a' <= c && c <= 'z' || c == '*'
		if !letter && (i == 0 || ('0' > c || c > '9') && c != '_' && c != '-' && c != '.') {
			return false
		}
	}
	return name != ""
}

// param is a parameter of a list's member as it is spelled.
type param struct {
	member     int
	key, value string
}

func (p param) capital() bool { return strings.ToLower(p.key) != p.key }

// readParams finds the parameters of a list of items. It makes out the keys of
// one that can't be read, too.
func readParams(list string) []param {
	var params []param
	member, from, quoted := 0, -1, false // from: where a parameter begins
	end := func(to int) {
		if from >= 0 {
			key, value, _ := strings.Cut(list[from:to], "=")
			params = append(params, param{member, strings.TrimSpace(key), strings.TrimSpace(value)})
		}
		from = -1
	}
	for i := 0; i < len(list); i++ {
		switch c := list[i]; {
		case c == '\\' && quoted:
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == ';':
			end(i)
			from = i + 1
		case c == ',':
			end(i)
			member++
		}
	}
	end(len(list))
	return params
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
// parameters' values. A column that isn't watched, or a value that says nothing
// about how the column's text is spelled, is no condition.
func declaredRows(g *coherence.Guard, id coherence.TableID, params *httpsfv.Params, said []param) []coherence.Dependency {
	table := &g.Tables()[id]
	t := coherence.Template{Table: id}
	var equal []coherence.Operand
	for i, name := range params.Names() {
		column := table.Key(name)
		if column < 0 {
			continue
		}
		value, _ := params.Get(name)
		text, ok := bareText(value, &table.Columns[column], said[i].value)
		if !ok {
			continue
		}
		t.Equal = append(t.Equal, coherence.Equal{Column: column})
		equal = append(equal, coherence.Operand{Present: true, Values: []string{text}})
	}
	return g.Bind(&t, equal, nil)
}

// bareText is a bare item (RFC 9651 section 3.3) as the text of a value. A
// number says which text it is only if it is spelled as it is printed: 007
// is 7. A parameter without a value is true, which is no text.
func bareText(v any, column *coherence.Column, spelled string) (text string, ok bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case httpsfv.Token:
		return string(v), true
	case int64:
		text = strconv.FormatInt(v, 10)
	case float64:
		text = strconv.FormatFloat(v, 'f', -1, 64)
	case bool:
		return strconv.FormatBool(v), column.Kind == coherence.Boolean
	}
	return text, text != "" && (!column.Textual() || text == spelled)
}

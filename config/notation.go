package config

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// Inside { } and [ ], YAML ends an unquoted value at the next bracket, which would make the file's own notations
// (/api/{id}, ${NAME}, body.items[*].id, query.filter[city]) need quotes there and nowhere else. Their brackets are
// hidden from the parser behind characters of the private use area, one for one so that columns stay.
var (
	notations = regexp.MustCompile(`\$\{[A-Za-z_][A-Za-z0-9_]*(?::-[^{}\n]*)?\}` +
		`|/\{[A-Za-z_][A-Za-z0-9_]*(?:\.\.\.)?\}` +
		`|\bbody(?:\.[A-Za-z_][A-Za-z0-9_-]*|\[(?:\*|[0-9]+)\])+` +
		`|\bquery\.[A-Za-z0-9_.-]+(?:\[[A-Za-z0-9_.-]*\])+`)
	hide = strings.NewReplacer("[", "\uE000", "]", "\uE001", "{", "\uE002", "}", "\uE003")
	bare = strings.NewReplacer("\uE000", "[", "\uE001", "]", "\uE002", "{", "\uE003", "}")
)

// printable reports whether r may stand in the file and be shown on a terminal. The characters that hide brackets may not.
func printable(r rune) bool {
	return !unicode.IsControl(r) && (r < 0xE000 || r > 0xE003) && r != utf8.RuneError
}

// parseYAML fails closed should the parser meet text that it didn't expect.
func parseYAML(text string) (file *ast.File, err error) {
	defer func() {
		if p := recover(); p != nil {
			file, err = nil, fmt.Errorf("the YAML parser failed (%v)", p)
		}
	}()
	return parser.ParseBytes([]byte(text), 0, parser.AllowDuplicateMapKey())
}

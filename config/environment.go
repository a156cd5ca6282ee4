package config

import (
	"errors"
	"fmt"
	"strings"
)

// expansion is a scalar with its references to the environment replaced.
type expansion struct {
	text  string
	names []string // variables whose values are in text; a default that was used isn't one
	moved bool     // text differs from what stands in the file, so offsets into it aren't columns
}

// expand replaces ${NAME} and ${NAME:-default} in text; $${ stands for ${. As in the shell, the default also replaces
// an empty value. On failure it returns the byte offset of the reference at fault.
func expand(text string, env func(string) (string, bool)) (expansion, int, error) {
	var x expansion
	var b strings.Builder
	for at := 0; ; {
		i := strings.Index(text[at:], "${")
		if i < 0 {
			b.WriteString(text[at:])
			x.text = b.String()
			return x, 0, nil
		}
		start := at + i
		x.moved = true
		if start > at && text[start-1] == '$' {
			b.WriteString(text[at:start-1] + "${")
			at = start + 2
			continue
		}
		b.WriteString(text[at:start])
		end := strings.IndexByte(text[start:], '}')
		if end < 0 {
			return x, start, errors.New(`"${" is not closed; write ${NAME}, or $${ for the two characters themselves`)
		}
		name, fallback, hasDefault := strings.Cut(text[start+2:start+end], ":-")
		if !isName(name) {
			return x, start, errors.New("what stands between ${ and } is not the name of an environment variable; write ${NAME} or ${NAME:-default}, or $${ for the two characters themselves")
		}
		if strings.Contains(fallback, "${") {
			return x, start, fmt.Errorf("the default of ${%s} holds another reference; give a plain value", name)
		}
		value, ok := "", false
		if env != nil {
			value, ok = env(name)
		}
		switch {
		case hasDefault && value == "":
			b.WriteString(fallback)
		case ok:
			b.WriteString(value)
			x.names = append(x.names, name)
		default:
			return x, start, fmt.Errorf("the environment variable %s is not set; set it, or give a default: ${%s:-value}", name, name)
		}
		at = start + end + 1
	}
}

// isName reports whether s is a letter or underscore followed by letters, digits and underscores, all ASCII.
func isName(s string) bool {
	for i, r := range s {
		letter := r == '_' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
		if !letter && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return s != ""
}

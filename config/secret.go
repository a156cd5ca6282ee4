package config

import (
	"log/slog"
	"regexp"
	"slices"
	"strings"
)

// Secret is text that is never printed: fmt, slog and encoding/json all show [redacted]. Convert it to a string to use it.
type Secret string

const redacted = "[redacted]"

// String returns a placeholder.
func (Secret) String() string { return redacted }

// GoString returns a placeholder.
func (Secret) GoString() string { return redacted }

// LogValue returns a placeholder.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText returns a placeholder.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

const mask = "xxxxx"

// Passwords are found in text, not in a parsed URL, because the URL that most needs hiding is the one that does not
// parse. Each expression errs towards hiding too much; its first group is what is hidden.
var (
	urlPassword = regexp.MustCompile(`://[^:/@\s]*:(.*)@`)
	dsnPassword = regexp.MustCompile(`(?i)(?:password|passwd)\s*(?:=|%3d)\s*('(?:[^'\\]|\\.)*'?|[^\s&'"]+)`)
	secretKey   = regexp.MustCompile(`(?:admin_token|\bsecret)["']?\s*:\s*(.*)$`)
	plainEnv    = regexp.MustCompile(`^["']?\$\{[A-Za-z_][A-Za-z0-9_]*\}["']?\s*(?:#.*)?$`)
)

// RedactURL returns the URL or the key=value connection string s with its passwords replaced by xxxxx. The text need not be valid.
func RedactURL(s string) string {
	text, _ := maskSpans(s, passwordSpans(s), 1)
	return text
}

func passwordSpans(s string) [][2]int {
	var spans [][2]int
	for _, re := range []*regexp.Regexp{urlPassword, dsnPassword} {
		for _, m := range re.FindAllStringSubmatchIndex(s, -1) {
			spans = append(spans, [2]int{m[2], m[3]})
		}
	}
	return spans
}

// stretch is a part of a line, from and to in characters from 0; to may be beyond the line's end.
type stretch struct{ from, to int }

// endOfLine is beyond the end of any line.
const endOfLine = maxFile

// maskLine hides the secrets and the stretches in a line of the file and moves the caret along with the text it points at.
func maskLine(line string, secrets []string, hidden []stretch, caret int) (string, int) {
	spans := passwordSpans(line)
	for _, h := range hidden {
		spans = append(spans, [2]int{offset(line, h.from), offset(line, h.to)})
	}
	if m := secretKey.FindStringSubmatchIndex(line); m != nil && !plainEnv.MatchString(line[m[2]:m[3]]) {
		spans = append(spans, [2]int{m[2], m[3]})
	}
	for _, secret := range secrets {
		for from := 0; secret != ""; {
			i := strings.Index(line[from:], secret)
			if i < 0 {
				break
			}
			spans = append(spans, [2]int{from + i, from + i + len(secret)})
			from += i + len(secret)
		}
	}
	return maskSpans(line, spans, caret)
}

// offset is where the character begins, in bytes; the end of the line where there are fewer. Text that isn't UTF-8 is counted too.
func offset(line string, character int) int {
	for i := range line {
		if character == 0 {
			return i
		}
		character--
	}
	return len(line)
}

// maskSpans replaces byte ranges of s, which may overlap. caret is a column in characters.
func maskSpans(s string, spans [][2]int, caret int) (string, int) {
	slices.SortFunc(spans, func(a, b [2]int) int { return a[0] - b[0] })
	var b strings.Builder
	done, shifted := 0, caret
	for i := 0; i < len(spans); i++ {
		from, to := spans[i][0], spans[i][1]
		for i+1 < len(spans) && spans[i+1][0] <= to {
			i++
			to = max(to, spans[i][1])
		}
		if from == to || plainEnv.MatchString(s[from:to]) {
			continue
		}
		first, end := len([]rune(s[:from]))+1, len([]rune(s[:to]))+1
		switch {
		case caret >= end:
			shifted += len(mask) - (end - first)
		case caret > first:
			shifted -= caret - first
		}
		b.WriteString(s[done:from])
		b.WriteString(mask)
		done = to
	}
	b.WriteString(s[done:])
	return b.String(), shifted
}

// hide keeps the value and all that is in it from being shown with its line: nothing of a connection string is, since no place
// in one that doesn't parse is known to be free of the password. A bare reference to the environment may be shown.
func (s *source) hide(n *node) {
	for _, e := range n.entries {
		s.hide(e.value)
	}
	for _, item := range n.items {
		s.hide(item)
	}
	if n.kind != scalar || plainEnv.MatchString(n.raw) || n.pos.Line < 1 || n.pos.Line > len(s.lines) {
		return
	}
	h := stretch{n.pos.Column - 1, endOfLine}
	line, raw := []rune(s.lines[n.pos.Line-1]), []rune(n.raw)
	for quote := range 2 { // without one, or behind it
		from := h.from + quote
		if to := from + len(raw); from >= 0 && to <= len(line) && string(line[from:to]) == n.raw {
			h = stretch{from, to}
			break
		}
	}
	s.hidden[n.pos.Line] = append(s.hidden[n.pos.Line], h)
}

var (
	suspectKey = regexp.MustCompile(`(?i)(?:ur[li]|dsn|postgres|redis|tracing|password|secret|token)["']?\s*:`)
	lineKey    = regexp.MustCompile(`^\s*(?:-\s+)?["']?([a-z_]+)["']?\s*:(?:\s|$)`)
)

// hideSuspects hides what may be a secret in a text that is no YAML: what stands behind certain keys, up to the next line that
// begins with a key of ours.
func (s *source) hideSuspects() {
	within := false
	for i, line := range s.lines {
		if m := lineKey.FindStringSubmatch(line); m != nil && isKey(m[1]) {
			within = false
		}
		switch m := suspectKey.FindStringIndex(line); {
		case within:
			s.hidden[i+1] = []stretch{{0, endOfLine}}
		case m != nil:
			s.hidden[i+1] = []stretch{{len([]rune(line[:m[1]])), endOfLine}}
			within = true
		}
	}
}

// isKey tells whether the word is a key of the configuration.
func isKey(word string) bool {
	if word == "url" {
		return true
	}
	for _, keys := range sections {
		if slices.Contains(keys, word) {
			return true
		}
	}
	return false
}

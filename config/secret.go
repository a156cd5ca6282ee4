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

// maskLine hides the secrets in a line of the file and moves the caret along with the text it points at.
func maskLine(line string, secrets []string, caret int) (string, int) {
	spans := passwordSpans(line)
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

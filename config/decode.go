package config

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"walpurge/internal/suggest"
)

// decoder fills a configuration from nodes and collects every problem on the way.
type decoder struct {
	src      *source
	config   *Config
	problems []Problem

	describing *description // nil: reading
}

func (d *decoder) fail(pos Pos, format string, args ...any) {
	d.problems = append(d.problems, d.src.problem(pos, format, args...))
}

// errors returns the problems found so far, with the secrets that are known by now masked in every source line.
func (d *decoder) errors() error {
	for i, p := range d.problems {
		d.problems[i] = d.src.problem(Pos{p.Line, p.Column}, "%s", p.Message)
	}
	return NewErrors(d.problems...)
}

// field is a key of a mapping and what reads its value.
type field struct {
	key  string
	read func(*node)
}

// fields reads a mapping whose keys are known. path is its dotted key ("" for the file itself), or a word for what it is, followed
// by a space. It returns the positions of the values by key.
func (d *decoder) fields(n *node, path string, fields []field) map[string]Pos {
	given := map[string]Pos{}
	if d.noteFields(path, fields) {
		return given
	}
	if n.kind != mapping {
		switch {
		case n.broken:
		case path == "postgres" || path == "redis" || path == "tracing": // it is most likely a URL, and holds a password
			d.src.hide(n)
			d.fail(n.pos, "%s wants keys and values; write %s: and, indented in a line below, url: VALUE", path, path)
		default:
			d.fail(n.pos, "%s wants keys and values, not %s; write KEY: VALUE lines", whole(path), n.what())
		}
		return given
	}
	known := make([]string, len(fields))
	for i, f := range fields {
		known[i] = f.key
	}
	for _, e := range n.entries {
		i := slices.Index(known, e.key)
		if i < 0 {
			urls := path == "postgres" || path == "redis" || path == "tracing"
			if urls || suspectKey.MatchString(e.key+":") || e.value.kind == mapping || len(passwordSpans(e.value.raw)) > 0 {
				d.src.hide(e.value) // most likely a misspelled url
			}
			// A comma or a colon within a URL that isn't quoted makes a key of the rest.
			if slipped(e.key) || urls && elsewhere(e.key, path, nil) == "" && suggest.Nearest(e.key, known) == "" {
				d.src.hidden[e.pos.Line] = append(d.src.hidden[e.pos.Line], stretch{e.pos.Column - 1, endOfLine})
				d.fail(e.pos, "unknown key in %s, not shown, since it may be a part of a value; quote the value before it, or %s", whole(path), suggest.For("", known))
				continue
			}
			d.fail(e.pos, "unknown key %q in %s; %s", e.key, whole(path), elsewhere(e.key, path, known))
			meant := suggest.Nearest(e.key, known)
			if given[meant] = e.pos; meant == "admin_token" || meant == "secret" { // given, if misspelled: not missing, and not to be shown
				d.noteSecret(e.value.raw)
			}
			continue
		}
		given[e.key] = e.value.pos
		if e.key == "url" {
			d.src.hide(e.value)
		}
		if !strings.Contains(path, " ") {
			d.config.positions[join(path, e.key)] = e.value.pos
			if len(e.value.env) > 0 { // printed as it is written
				d.config.fromEnv[join(path, e.key)] = e.value.raw
			}
		}
		switch {
		case e.value.broken:
		case e.value.kind == null && e.key != "routes":
			d.fail(e.pos, "%s is empty; give it a value or delete the line", e.key)
		default:
			fields[i].read(e.value)
		}
	}
	return given
}

// slipped tells whether an unknown key looks like a value that has slipped into its place.
func slipped(key string) bool { return strings.ContainsAny(key, "@=") || strings.Contains(key, "://") }

func whole(path string) string {
	if path == "" {
		return "the configuration"
	}
	return strings.TrimSpace(path)
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// sections are the keys that people put at the wrong level.
var sections = map[string][]string{
	"the configuration": {
		"listen", "admin", "admin_token", "reuse_port", "origin", "postgres", "redis", "memory", "max_object", "bulk_rows",
		"origin_timeout", "fill_timeout", "origin_concurrency", "origin_wait", "connect_timeout", "join_timeout", "header_timeout", "body_timeout",
		"write_timeout", "idle_timeout", "strict_wait", "position", "audit", "compress", "server_timing", "tls", "trusted_proxies", "log", "access_log", "tracing",
		"shutdown_timeout", "max_header", "routes",
	},
	"tls":        {"cert", "key"},
	"postgres":   {"slot", "publication", "watch"},
	"redis":      {"namespace"},
	"log":        {"level"},
	"access_log": {"file"},
	"tracing":    {"sample"},
	"position":   {"cookie", "secret", "max_age"},
	"a route":    {"path", "depends_on", "ttl", "consistency", "query", "vary", "stale_while_revalidate", "stale_if_error", "on_change", "client_cache", "events"},
	"an entry of depends_on": {
		"table", "where", "columns",
	},
}

// elsewhere ends the message about an unknown key.
func elsewhere(key, path string, known []string) string {
	for section, keys := range sections {
		if section != whole(path) && slices.Contains(keys, key) {
			return "it belongs in " + section
		}
	}
	if known == nil {
		return ""
	}
	return suggest.For(key, known)
}

// noteSecret has a secret that stands in the file masked wherever its lines are shown.
func (d *decoder) noteSecret(raw string) {
	const short = 4 // so short a word would mask half the file; the line of the key itself is masked anyway
	for _, word := range strings.Fields(raw) {
		if len(word) >= short && !plainEnv.MatchString(word) {
			d.src.secrets = append(d.src.secrets, word)
		}
	}
}

// text returns the scalar's text. An empty one is a problem too.
func (d *decoder) text(n *node, key string) (string, bool) {
	if d.note(anyScalar) {
		return "", false
	}
	switch {
	case n.broken:
		return "", false
	case n.kind != scalar:
		d.fail(n.pos, "%s wants one value, not %s; write a single value", key, n.what())
		return "", false
	case n.text == "" && len(n.env) > 0:
		d.fail(n.pos, "%s is empty because %s is; set the variable, or give a default: ${%s:-value}", key, n.show(), n.env[0])
		return "", false
	case n.text == "":
		d.fail(n.pos, "%s is empty; give it a value or delete the line", key)
		return "", false
	}
	return n.text, true
}

// list calls read for each element of a list.
func (d *decoder) list(n *node, key, example string, read func(*node)) {
	if d.noteList(read) {
		return
	}
	if n.kind != sequence {
		if !n.broken {
			d.fail(n.pos, "%s wants a list, not %s; write %s", key, n.what(), example)
		}
		return
	}
	for _, item := range n.items {
		switch {
		case item.broken:
		case item.kind == null:
			d.fail(item.pos, "an entry of %s is empty; give it a value or delete the line", key)
		default:
			read(item)
		}
	}
}

func (d *decoder) size(n *node, key string, into *Size, low, high Size) {
	if d.note(sizeShape(low, high)) {
		return
	}
	text, ok := d.text(n, key)
	if !ok {
		return
	}
	v, err := ParseSize(text)
	switch {
	case err != nil:
		d.fail(n.pos, "%s: %s %s", key, n.show(), err)
	case v < low:
		d.fail(n.pos, "%s: %s is too small; the least is %s", key, n.show(), low)
	case v > high:
		d.fail(n.pos, "%s: %s is too large; the most is %s", key, n.show(), high)
	default:
		*into = v
	}
}

func (d *decoder) duration(n *node, key string, into *time.Duration, low, high time.Duration) bool {
	if d.note(durationShape(low, high)) {
		return false
	}
	text, ok := d.text(n, key)
	if !ok {
		return false
	}
	v, err := ParseDuration(text)
	switch {
	case err != nil:
		d.fail(n.pos, "%s: %s %s", key, n.show(), err)
	case v < low:
		d.fail(n.pos, "%s: %s is too short; the least is %s", key, n.show(), low)
	case v > high:
		d.fail(n.pos, "%s: %s is too long; the most is %s", key, n.show(), high)
	default:
		*into = v
		return true
	}
	return false
}

func (d *decoder) integer(n *node, key string, into *int, low, high int) {
	if d.note(integerShape(low, high)) {
		return
	}
	text, ok := d.text(n, key)
	if !ok {
		return
	}
	v, err := strconv.Atoi(strings.ReplaceAll(text, "_", ""))
	switch {
	case err != nil:
		d.fail(n.pos, "%s: %s is not a whole number; write one from %d to %d", key, n.show(), low, high)
	case v < low || v > high:
		d.fail(n.pos, "%s: %s is out of bounds; write a number from %d to %d", key, n.show(), low, high)
	default:
		*into = v
	}
}

// choice reads one of a few words. It returns the word's index, or -1.
func (d *decoder) choice(n *node, key string, words ...string) int {
	if d.note(choiceShape(words)) {
		return -1
	}
	text, ok := d.text(n, key)
	if !ok {
		return -1
	}
	i := slices.Index(words, text)
	if i < 0 {
		d.fail(n.pos, "%s: %s is not a choice; write %s", key, n.show(), suggest.Enumerate(words, " or "))
		return -1
	}
	return i
}

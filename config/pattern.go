package config

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// SegmentKind tells the segments of a path pattern apart, the most specific first.
type SegmentKind int

// The kinds of segments.
const (
	LiteralSegment   SegmentKind = iota // this text and nothing else
	ParameterSegment                    // {name}: any one segment that isn't empty
	RestSegment                         // {name...}: one segment or more, the last may be empty; only at the end
)

// Segment is what stands between two slashes of a path pattern.
type Segment struct {
	Kind SegmentKind
	Text string // of a literal, percent-decoded: compare it with the decoded segment of a request's path
	Name string // of a parameter
}

// Pattern is a path pattern. A path matches if its segments (what follows each slash, so /a/ has two: "a" and "") match
// one by one. A RestSegment matches all that are left, at least one.
type Pattern struct {
	Segments []Segment
}

// maxParameters bounds the parameters of one pattern, so that whoever matches it can keep them in a fixed place.
const maxParameters = 16

// patternError is what is wrong with a pattern, and at which byte of it.
type patternError struct {
	offset  int
	message string
}

func (e *patternError) Error() string { return e.message }

// ParsePattern reads a path pattern such as /api/listings/{id} or /files/{path...}. Literals may be percent-encoded.
func ParsePattern(path string) (Pattern, error) {
	var p Pattern
	fail := func(offset int, format string, args ...any) (Pattern, error) {
		return Pattern{}, &patternError{offset, fmt.Sprintf(format, args...)}
	}
	if !strings.HasPrefix(path, "/") {
		return fail(0, "a path begins with a slash; write /%s", strings.TrimLeft(path, "/"))
	}
	if i := strings.IndexFunc(path, func(r rune) bool { return r <= ' ' || r == '?' || r == '#' || r == 0x7f }); i >= 0 {
		if path[i] == '?' {
			return fail(i, "a path has no query; name the parameters that count under query")
		}
		return fail(i, "a path can't hold %q; percent-encode it", path[i])
	}
	offset := 1
	parts := strings.Split(path[1:], "/")
	for i, part := range parts {
		segment, err := parseSegment(part)
		last := i == len(parts)-1
		switch {
		case err != nil:
			return fail(offset, "%s", err)
		case part == "" && !last:
			return fail(offset, "the path has an empty segment; write one slash")
		case segment.Kind == RestSegment && !last:
			return fail(offset, "{%s...} takes the rest of the path; it can only be the last segment", segment.Name)
		}
		if segment.Name != "" && p.has(segment.Name) {
			return fail(offset, "the path has two parameters {%s}; give each a name of its own", segment.Name)
		}
		if segment.Kind != LiteralSegment && len(p.Parameters()) == maxParameters {
			return fail(offset, "the path has more than %d parameters; take the rest as {name...}", maxParameters)
		}
		p.Segments = append(p.Segments, segment)
		offset += len(part) + 1
	}
	return p, nil
}

func parseSegment(part string) (Segment, error) {
	if !strings.ContainsAny(part, "{}") {
		text, err := url.PathUnescape(part)
		switch {
		case err != nil:
			return Segment{}, fmt.Errorf("%q is not percent-encoded correctly; write %%25 for a percent sign", part)
		case text == "." || text == "..":
			return Segment{}, fmt.Errorf("the segment %q never reaches a route; leave it out", part)
		}
		return Segment{Kind: LiteralSegment, Text: text}, nil
	}
	inner, opened := strings.CutPrefix(part, "{")
	inner, closed := strings.CutSuffix(inner, "}")
	name, rest := strings.CutSuffix(inner, "...")
	switch {
	case !opened || !closed || strings.ContainsAny(inner, "{}"):
		return Segment{}, errors.New("a parameter is a whole segment; write /{name}/ or /{name...}")
	case !isName(name):
		return Segment{}, fmt.Errorf("%q can't be a parameter's name; use letters, digits and underscores", name)
	case rest:
		return Segment{Kind: RestSegment, Name: name}, nil
	}
	return Segment{Kind: ParameterSegment, Name: name}, nil
}

func (p Pattern) has(name string) bool {
	for _, s := range p.Segments {
		if s.Name == name && s.Kind != LiteralSegment {
			return true
		}
	}
	return false
}

// Parameters lists the names of the pattern's parameters, from left to right.
func (p Pattern) Parameters() []string {
	var names []string
	for _, s := range p.Segments {
		if s.Kind != LiteralSegment {
			names = append(names, s.Name)
		}
	}
	return names
}

// Compare orders patterns so that of all that match a path, the first is the most specific one. Segments are compared
// from left to right: a literal before a parameter, a parameter before the rest. So /a/{x} goes before /{y}/b. The
// result is 0 only for patterns that match the same paths.
func (p Pattern) Compare(q Pattern) int {
	for i := range min(len(p.Segments), len(q.Segments)) {
		a, b := p.Segments[i], q.Segments[i]
		if c := cmp.Or(cmp.Compare(a.Kind, b.Kind), strings.Compare(a.Text, b.Text)); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(p.Segments), len(q.Segments))
}

// shape is the same for two patterns if and only if Compare is 0.
func (p Pattern) shape() string {
	var b strings.Builder
	for _, s := range p.Segments {
		fmt.Fprintf(&b, "/%d%s", s.Kind, url.PathEscape(s.Text))
	}
	return b.String()
}

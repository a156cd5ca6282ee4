package route

import (
	"errors"
	"fmt"
	"strings"

	"walpurge/internal/http1"
	"walpurge/internal/proxycache/depends"
)

// router finds the most specific route of a path: segment by segment a
// literal before a parameter before the rest.
type router struct{ root *segment }

type segment struct {
	literals map[string]*segment
	param    *segment
	rest     *Route
	end      *Route // the pattern ends here
}

func (t *router) add(rt *Route) error {
	if t.root == nil {
		t.root = &segment{}
	}
	if !strings.HasPrefix(rt.Pattern, "/") {
		return errors.New("a path begins with a slash")
	}
	at := t.root
	parts := strings.Split(rt.Pattern[1:], "/")
	for i, part := range parts {
		name, isParam := strings.CutPrefix(part, "{")
		if !isParam {
			text, ok := http1.Unescape([]byte(part), false)
			if !ok {
				return fmt.Errorf("the segment %q is not percent-encoded correctly", part)
			}
			if at.literals == nil {
				at.literals = make(map[string]*segment)
			}
			if at.literals[text] == nil {
				at.literals[text] = &segment{}
			}
			at = at.literals[text]
			continue
		}
		name = strings.TrimSuffix(name, "}")
		name, isRest := strings.CutSuffix(name, "...")
		rt.Params = append(rt.Params, name)
		if len(rt.Params) > maxParams {
			return fmt.Errorf("the path has more than %d parameters", maxParams)
		}
		if isRest {
			if i != len(parts)-1 {
				return fmt.Errorf("{%s...} takes the rest of the path; it can only be the last segment", name)
			}
			if at.rest != nil {
				return fmt.Errorf("the routes %s and %s match the same paths", at.rest.Pattern, rt.Pattern)
			}
			at.rest = rt
			return nil
		}
		if at.param == nil {
			at.param = &segment{}
		}
		at = at.param
	}
	if at.end != nil {
		return fmt.Errorf("the routes %s and %s match the same paths", at.end.Pattern, rt.Pattern)
	}
	at.end = rt
	return nil
}

// replace puts another route of the same pattern in the place of rt.
func (t *router) replace(rt, by *Route) { t.root.replace(rt, by) }

func (s *segment) replace(rt, by *Route) {
	if s == nil {
		return
	}
	if s.end == rt {
		s.end = by
	}
	if s.rest == rt {
		s.rest = by
	}
	s.param.replace(rt, by)
	for _, next := range s.literals {
		next.replace(rt, by)
	}
}

// places collects where the parameters of a match stand.
type places struct {
	at [maxParams]depends.Span
	n  int
}

// match finds the route of a path that CleanPath has approved.
func (t *router) match(path []byte, found *places) *Route {
	found.n = 0
	if t.root == nil {
		return nil
	}
	return t.root.match(path, 1, found)
}

// match matches what follows the slash before from.
func (s *segment) match(path []byte, from int, found *places) *Route {
	to := from
	escaped := false
	for to < len(path) && path[to] != '/' {
		escaped = escaped || path[to] == '%'
		to++
	}
	if s.literals != nil {
		next := s.literals[string(path[from:to])]
		if escaped {
			text, _ := http1.Unescape(path[from:to], false)
			next = s.literals[text]
		}
		if next != nil {
			if rt := next.after(path, to, found); rt != nil {
				return rt
			}
		}
	}
	if s.param != nil && to > from && found.n < maxParams {
		found.at[found.n] = depends.Span{From: from, To: to}
		found.n++
		if rt := s.param.after(path, to, found); rt != nil {
			return rt
		}
		found.n--
	}
	if s.rest != nil && found.n < maxParams {
		found.at[found.n] = depends.Span{From: from, To: len(path)}
		found.n++
		return s.rest
	}
	return nil
}

func (s *segment) after(path []byte, to int, found *places) *Route {
	if to == len(path) {
		return s.end
	}
	return s.match(path, to+1, found)
}

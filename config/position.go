package config

import (
	"regexp"
	"slices"
	"time"

	"walpurge/internal/expr"
)

// Position says how clients carry the position of their own writes, beside the header field, which always works.
type Position struct {
	Cookie string        `yaml:"cookie"`  // the cookie's name; empty: none
	Secret Secret        `yaml:"secret"`  // signs positions, the same for all proxies; empty: they aren't signed
	MaxAge time.Duration `yaml:"max_age"` // of the cookie, at least the longest max_lag of a route
}

const (
	defaultPositionAge = time.Minute
	minSecret          = 16 // bytes
)

var cookieName = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}$") // a token of RFC 9110, section 5.6.2

func (d *decoder) position(n *node) {
	p := &d.config.Position
	d.fields(n, "position", []field{
		{"cookie", func(n *node) {
			if empty(n) {
				return
			}
			text, ok := d.text(n, "position.cookie")
			switch {
			case !ok:
			case !cookieName.MatchString(text):
				d.fail(n.pos, "position.cookie: %s can't name a cookie; use 1 to 64 letters, digits and _.-, such as walpurge_position", n.show())
			default:
				p.Cookie = text
			}
		}},
		{"secret", func(n *node) {
			if empty(n) {
				return
			}
			text, ok := d.text(n, "position.secret")
			if !ok {
				return
			}
			d.noteSecret(n.raw)
			if len(text) < minSecret {
				d.fail(n.pos, "position.secret is shorter than %d characters; make one with: openssl rand -hex 32", minSecret)
				return
			}
			p.Secret = Secret(text)
		}},
		{"max_age", func(n *node) { d.duration(n, "position.max_age", &p.MaxAge, time.Second, maxTimeout) }},
	})
}

// empty reports whether nothing is given, so that ${NAME:-} can stand in a file that serves everywhere.
func empty(n *node) bool { return n.kind == scalar && !n.broken && n.text == "" }

// checkPosition finds what contradicts itself, and gives max_age its default: a position is needed until every hit reflects
// the write anyway, which is after max_lag.
func (d *decoder) checkPosition() {
	c := d.config
	p := &c.Position
	longest := time.Duration(0)
	for i := range c.Routes {
		if len(c.Routes[i].DependsOn) > 0 {
			longest = max(longest, c.Routes[i].MaxLag)
		}
	}
	switch {
	case !d.given("position.max_age"):
		p.MaxAge = max(defaultPositionAge, 2*longest)
	case p.Cookie != "" && p.MaxAge < longest && !d.reported(c.Pos("position.max_age")):
		d.fail(c.Pos("position.max_age"), "position.max_age is shorter than the longest max_lag, %s, for which a hit may be older than the write; raise it", longest)
	}
	if (p.Cookie != "" || p.Secret != "") && !d.given("postgres") {
		key := "position.cookie"
		if p.Cookie == "" {
			key = "position.secret"
		}
		d.fail(c.Pos(key), "position needs the database whose positions it tells; add postgres: with a url")
	}
	if p.Cookie == "" {
		return
	}
	for i := range c.Routes {
		at := slices.IndexFunc(c.Routes[i].Vary, func(v Variant) bool { return v.Source == expr.Cookie && v.Name == p.Cookie })
		if at >= 0 {
			d.fail(c.Routes[i].Vary[at].Pos, "the cookie %q carries positions and ends at the proxy, so nothing can depend on it; take it out, or choose another position.cookie", p.Cookie)
		}
	}
}

package config

import (
	"errors"
	"slices"
	"strings"
	"time"

	"walpurge/internal/expr"
)

// forever bounds a route's durations to what time arithmetic can hold anywhere.
const forever = 100 * 365 * day

func (d *decoder) routes(n *node) {
	d.note(shape{"type": "null"})
	if n.kind == null { // "routes:" with every route commented out
		return
	}
	d.list(n, "routes", "a list of \"- path: /...\"", func(item *node) {
		if r, ok := d.route(item); ok {
			d.config.Routes = append(d.config.Routes, r)
		}
	})
}

func (d *decoder) route(n *node) (Route, bool) {
	r := Route{}
	pathOK, declares := false, false
	given := d.fields(n, "a route ", []field{
		{"path", func(n *node) { pathOK = d.path(n, &r) }},
		{"depends_on", func(n *node) {
			declares = n.kind != sequence || len(n.items) > 0
			d.note(shape{"const": "response"})
			if r.Declared = n.kind == scalar && n.text == "response"; r.Declared {
				return
			}
			d.list(n, "depends_on", "a list such as [listings], or response", func(item *node) {
				if dep, ok := d.dependency(item); ok {
					r.DependsOn = append(r.DependsOn, dep)
				}
			})
		}},
		{"ttl", func(n *node) { r.TTL = d.age(n, "ttl") }},
		{"consistency", func(n *node) {
			if d.choice(n, "consistency", "bounded", "strict") == 1 {
				r.Consistency = Strict
			}
		}},
		{"query", func(n *node) { d.query(n, &r.Query) }},
		{"vary", func(n *node) { d.vary(n, &r) }},
		{"stale_while_revalidate", func(n *node) { r.StaleWhileRevalidate = d.age(n, "stale_while_revalidate") }},
		{"stale_if_error", func(n *node) { r.StaleIfError = d.age(n, "stale_if_error") }},
		{"on_change", func(n *node) { d.onChange(n, &r) }},
		{"client_cache", func(n *node) { r.ClientKeeps = d.choice(n, "client_cache", "revalidate", "origin") == 1 }},
		{"events", func(n *node) { r.Events = d.choice(n, "events", "true", "false") == 0 }},
		{"max_lag", func(n *node) { d.duration(n, "max_lag", &r.MaxLag, minLag, maxLag) }},
	})
	if _, ok := given["path"]; !ok && n.kind == mapping {
		d.fail(n.pos, "this route has no path; add path: /...")
	}
	d.checkRoute(&r, given, declares)
	return r, pathOK
}

// onChange reads refetch, or a mapping with serve_stale.
func (d *decoder) onChange(n *node, r *Route) {
	if n.kind == scalar {
		if text, ok := d.text(n, "on_change"); ok && text != "refetch" {
			d.fail(n.pos, "on_change: %s is not a choice; write refetch, or serve_stale: 2s in a line below", n.show())
		}
		return
	}
	given := d.fields(n, "on_change ", []field{
		{"serve_stale", func(n *node) { d.duration(n, "serve_stale", &r.OnChange, time.Millisecond, maxStale) }},
	})
	if len(given) == 0 && n.kind == mapping && len(n.entries) == 0 {
		d.fail(n.pos, "on_change is empty; write refetch, or serve_stale: 2s")
	}
}

// maxStale bounds how long what has changed is shown: it bridges a fetch.
const maxStale = time.Minute

func (d *decoder) path(n *node, r *Route) bool {
	text, ok := d.text(n, "path")
	if !ok {
		return false
	}
	p, err := ParsePattern(text)
	if at := (*patternError)(nil); errors.As(err, &at) {
		d.fail(n.at(at.offset), "%s", d.unlessEnv(n, err, "a path"))
		return false
	}
	r.Path, r.Pattern, r.Pos, r.written = text, p, n.pos, n.raw
	return true
}

// unlessEnv is the message of err, or one that doesn't quote the value when it came from the environment.
func (d *decoder) unlessEnv(n *node, err error, what string) string {
	if len(n.env) > 0 {
		return n.show() + " makes this not " + what + "; see the reference configuration for its form"
	}
	return err.Error()
}

func (d *decoder) age(n *node, key string) *time.Duration {
	var v time.Duration
	if !d.duration(n, key, &v, 0, forever) {
		return nil
	}
	return &v
}

func (d *decoder) query(n *node, into *Parameters) {
	into.Listed = true
	switch n.kind {
	case scalar:
		text, ok := d.text(n, "query")
		if ok && text != "all" {
			d.fail(n.pos, "query: %s is not a choice; write all, or a list of the parameters that count", n.show())
		}
	case sequence:
		into.Only = true
		into.Names = d.parameters(n, "query")
	default:
		given := d.fields(n, "query ", []field{
			{"include", func(n *node) { into.Only = true; into.Names = d.parameters(n, "include") }},
			{"exclude", func(n *node) { into.Names = d.parameters(n, "exclude") }},
			{"sort", func(n *node) { into.Sorted = d.choice(n, "sort", "true", "false") == 0 }},
		})
		_, includes := given["include"]
		_, excludes := given["exclude"]
		if (includes == excludes && (includes || !into.Sorted)) && len(given) == len(n.entries) {
			d.fail(n.pos, "query wants either include or exclude; give one of the two, or write all")
		}
	}
}

func (d *decoder) parameters(n *node, key string) []Parameter {
	names := []Parameter{}
	d.list(n, key, "a list of parameter names", func(item *node) {
		text, ok := d.text(item, "an entry of "+key)
		switch {
		case !ok:
		case slices.ContainsFunc(names, func(p Parameter) bool { return p.Name == text }):
			d.fail(item.pos, "%s lists %s twice; keep one", key, item.show())
		default:
			names = append(names, Parameter{text, item.pos})
		}
	})
	return names
}

func (d *decoder) vary(n *node, r *Route) {
	d.list(n, "vary", "a list such as [accept-language, cookie.theme]", func(item *node) {
		text, ok := d.text(item, "an entry of vary")
		if !ok {
			return
		}
		v := Variant{Source: expr.Header, Name: text, Pos: item.pos}
		if source, name, dotted := strings.Cut(text, "."); dotted && (source == "header" || source == "cookie") {
			v.Name = name
			if source == "cookie" {
				v.Source = expr.Cookie
			}
		}
		switch {
		case v.Name == "*":
			d.fail(item.pos, "vary: * would keep nothing; leave the route out, or name the headers")
			return
		case !expr.IsFieldName(v.Name):
			d.fail(item.pos, "vary: %s is not a header or a cookie; write header.NAME, cookie.NAME or a header's name", item.show())
			return
		case v.Source == expr.Header:
			v.Name = strings.ToLower(v.Name)
		}
		if varies(r.Vary, v) {
			d.fail(item.pos, "vary lists %s twice; keep one", item.show())
			return
		}
		r.Vary = append(r.Vary, v)
	})
}

func varies(list []Variant, v Variant) bool {
	return slices.ContainsFunc(list, func(w Variant) bool { return w.Source == v.Source && w.Name == v.Name })
}

// dependency reads a table's name alone, or a mapping of table, where and columns.
func (d *decoder) dependency(n *node) (Dependency, bool) {
	dep := Dependency{Pos: n.pos}
	if n.kind == scalar {
		return dep, d.table(n, &dep.Table)
	}
	ok := false
	given := d.fields(n, "an entry of depends_on ", []field{
		{"table", func(n *node) { ok = d.table(n, &dep.Table) }},
		{"where", func(n *node) { dep.Where = d.where(n) }},
		{"columns", func(n *node) {
			d.list(n, "columns", "a list such as [title, price]", func(item *node) { d.column(item, &dep) })
			if n.kind == sequence && len(n.items) == 0 {
				d.fail(n.pos, "columns is empty, so no change would ever matter; leave the key out for all columns")
			}
		}},
	})
	if _, has := given["table"]; !has && n.kind == mapping {
		d.fail(n.pos, "this dependency names no table; add table: NAME")
	}
	return dep, ok
}

func (d *decoder) column(n *node, dep *Dependency) {
	text, ok := d.text(n, "an entry of columns")
	if !ok {
		return
	}
	name, ok := d.columnName(n.pos, text, n.show())
	switch {
	case !ok:
	case slices.ContainsFunc(dep.Columns, func(c Column) bool { return c.Name == name }):
		d.fail(n.pos, "columns lists %s twice; keep one", n.show())
	default:
		dep.Columns = append(dep.Columns, Column{name, n.pos})
	}
}

package config

import (
	"maps"
	"net"
	"slices"

	"walpurge/internal/expr"
	"walpurge/internal/suggest"
)

// checkRoute finds what contradicts itself inside a route. given holds the positions of the values in the file; declares
// says whether depends_on has an entry, be it a correct one or not.
func (d *decoder) checkRoute(r *Route, given map[string]Pos, declares bool) {
	if r.Consistency == Strict {
		if !declares {
			d.fail(given["consistency"], "consistency: strict needs depends_on, without which no change is ever seen; declare the tables or use bounded")
		}
		if r.StaleWhileRevalidate != nil && *r.StaleWhileRevalidate > 0 {
			d.fail(given["stale_while_revalidate"], "a strict route never serves what is stale; delete this line or use consistency: bounded")
		}
		if r.StaleIfError != nil && *r.StaleIfError > 0 {
			d.fail(given["stale_if_error"], "a strict route never serves what is stale; delete this line or use consistency: bounded")
		}
	}
	if r.OnChange > 0 {
		switch {
		case !declares:
			d.fail(given["on_change"], "on_change needs depends_on, without which no change is ever seen; declare the tables or delete this line")
		case r.Consistency == Strict:
			d.fail(given["on_change"], "a strict route never serves what is stale; write on_change: refetch or use consistency: bounded")
		}
	}
	if r.Events {
		for _, key := range slices.Sorted(maps.Keys(given)) {
			if key != "path" && key != "events" {
				d.fail(given[key], "the proxy answers a route with events: true itself, so %s says nothing; delete this line", key)
			}
		}
	}
	for i := range r.DependsOn {
		d.checkConditions(r.DependsOn[i].Where)
	}
	if r.Path == "" {
		return
	}
	for _, dep := range r.DependsOn {
		for _, c := range dep.Where {
			for _, e := range c.exprs() {
				d.checkExpr(r, e)
			}
		}
	}
}

// exprs lists the condition's expressions, values before ends.
func (c Condition) exprs() []*Expr {
	var list []*Expr
	for i := range c.Any {
		list = append(list, &c.Any[i])
	}
	for _, end := range []*Expr{c.From, c.To} {
		if end != nil {
			list = append(list, end)
		}
	}
	return list
}

func (d *decoder) checkConditions(where []Condition) {
	for i, c := range where {
		for _, earlier := range where[:i] {
			switch {
			case earlier.Column != c.Column:
			case earlier.Range() != c.Range():
				d.fail(c.Pos, "the column %q has a range and an equality in one dependency; keep one of them", c.Column)
			case earlier.Fold == c.Fold:
				d.fail(c.Pos, "the column %q has two conditions of one kind; put the values in one list", c.Column)
			}
		}
	}
}

// checkExpr checks an expression against its route. A parameter, header field or cookie that decides what a response depends
// on must tell responses apart, or else one visitor's response would stand for another's: it is added to the key.
func (d *decoder) checkExpr(r *Route, e *Expr) {
	name := e.Name
	if e.env != "" { // not to be shown
		name = "NAME"
	}
	switch e.Source {
	case expr.Path:
		if known := r.Pattern.Parameters(); !slices.Contains(known, e.Name) {
			if len(known) == 0 {
				d.fail(e.Pos, "the route's path has no parameter; write {%s} into it", name)
				return
			}
			d.fail(e.Pos, "the route's path has no parameter {%s}; %s", name, suggest.For(name, known))
		}
	case expr.Query:
		if r.Query.Counts(e.Name) {
			return
		}
		if !r.Query.Only {
			d.fail(e.Pos, "query excludes %q, which this condition reads; take it out of exclude", name)
			return
		}
		r.Query.Names = append(r.Query.Names, Parameter{e.Name, e.Pos})
	case expr.Header, expr.Cookie:
		if v := (Variant{e.Source, e.Name, e.Pos}); !varies(r.Vary, v) {
			r.Vary = append(r.Vary, v)
		}
	}
}

// check finds what is wrong between keys.
func (d *decoder) check() {
	c := d.config
	if c.MaxObject > c.Memory {
		d.fail(c.Pos("max_object"), "max_object is larger than memory; lower it or raise memory")
	}
	if !c.Admin.loopback() && c.AdminToken == "" && !d.reported(c.Pos("admin_token")) {
		d.fail(c.Pos("admin"), "admin can be reached from other machines and there is no token; add admin_token: ${ADMIN_TOKEN}, or listen on 127.0.0.1")
	}
	if c.Listen == c.Admin && !anyPort(c.Listen) {
		d.fail(c.Pos(d.later("listen", "admin")), "listen and admin are the same address; give each its own")
	}
	if c.asksItself() {
		d.fail(c.Pos("origin"), "origin is the address that the proxy itself listens on, so it would ask itself for ever; name the service's, or change listen")
	}
	shapes := map[string]*Route{}
	for i := range c.Routes {
		r := &c.Routes[i]
		if r.MaxLag == 0 {
			r.MaxLag = c.MaxLag
		}
		if len(r.DependsOn) > 0 && !d.given("postgres") {
			d.fail(r.DependsOn[0].Pos, "depends_on needs the database whose changes it follows; add postgres: with a url")
		}
		if r.Events && !d.given("postgres") {
			d.fail(r.Pos, "events tells of changes in the database; add postgres: with a url")
		}
		if r.Declared && !d.watches() {
			d.fail(r.Pos, "depends_on: response needs to know the tables that responses name; list them in postgres.watch")
		}
		shape := r.Pattern.shape()
		if first, tie := shapes[shape]; tie {
			d.fail(r.Pos, "the path %q matches the same requests as %q in line %d; keep one of them", r.written, first.written, first.Pos.Line)
			continue
		}
		shapes[shape] = r
	}
	d.checkPosition()
}

// watches reports whether any table is watched.
func (d *decoder) watches() bool {
	return d.config.Postgres != nil && len(d.config.Postgres.Watch) > 0 ||
		slices.ContainsFunc(d.config.Routes, func(r Route) bool { return len(r.DependsOn) > 0 })
}

// reported reports whether there is a problem at pos already.
func (d *decoder) reported(pos Pos) bool {
	return slices.ContainsFunc(d.problems, func(p Problem) bool { return Pos{p.Line, p.Column} == pos })
}

// given reports whether the file has the key.
func (d *decoder) given(key string) bool {
	_, ok := d.config.positions[key]
	return ok
}

// later returns which of two keys stands further down in the file.
func (d *decoder) later(a, b string) string {
	if d.config.positions[a].before(d.config.positions[b]) {
		return b
	}
	return a
}

// asksItself tells whether the origin is the address that the proxy listens on, as far as the names tell.
func (c *Config) asksItself() bool {
	if c.Listen.Network == "unix" || c.OriginSocket != "" {
		return c.OriginSocket != "" && c.OriginSocket == c.Listen.Address
	}
	host, port, err := net.SplitHostPort(c.Listen.Address)
	if err != nil || c.Origin == nil || port == "0" {
		return false
	}
	theirs := c.Origin.Port()
	if theirs == "" {
		theirs = map[string]string{"http": "80", "https": "443"}[c.Origin.Scheme]
	}
	here := func(host string) bool { return host == "localhost" || net.ParseIP(host).IsLoopback() }
	everywhere := host == "" || net.ParseIP(host).IsUnspecified()
	return port == theirs && (host == c.Origin.Hostname() || here(c.Origin.Hostname()) && (everywhere || here(host)))
}

// anyPort reports whether the system chooses the port.
func anyPort(a Address) bool {
	_, port, err := net.SplitHostPort(a.Address)
	return a.Network == "tcp" && err == nil && port == "0"
}

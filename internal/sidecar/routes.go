package sidecar

import (
	"fmt"

	"walpurge/config"
	"walpurge/internal/coherence"
	"walpurge/internal/expr"
	"walpurge/internal/proxycache/depends"
	"walpurge/internal/proxycache/route"
)

// routes translates the configuration's routes. tables are the guard's, nil
// without PostgreSQL.
func routes(c *config.Config, tables []coherence.Table) ([]route.Declaration, error) {
	byName := make(map[string]coherence.TableID, len(tables))
	for i, t := range tables {
		byName[t.Name] = coherence.TableID(i)
	}
	var list []route.Declaration
	var problems []config.Problem
	for _, r := range c.Routes {
		declared := route.Declaration{
			Pattern: r.Path, TTL: r.TTL, MaxLag: r.MaxLag, Strict: r.Consistency == config.Strict,
			Query:         route.QueryRule{Only: r.Query.Only, Sort: r.Query.Sorted},
			StaleOnChange: r.OnChange, ClientKeeps: r.ClientKeeps, Events: r.Events,
			StaleWhileRevalidate: r.StaleWhileRevalidate, StaleIfError: r.StaleIfError, Declared: r.Declared,
		}
		for _, p := range r.Query.Names {
			declared.Query.Names = append(declared.Query.Names, p.Name)
		}
		for _, v := range r.Vary {
			declared.Vary = append(declared.Vary, route.Key{Source: v.Source, Name: v.Name})
		}
		for _, d := range r.DependsOn {
			dep, err := dependency(d, byName, tables)
			if err != nil {
				problems = append(problems, c.Problem(d.Pos, "%v", err))
				continue
			}
			declared.Depends = append(declared.Depends, dep)
		}
		list = append(list, declared)
	}
	return list, config.NewErrors(problems...)
}

// dependency translates one dependency. A column list counts the columns of
// the conditions too: a row that moves in or out changes the page.
func dependency(d config.Dependency, byName map[string]coherence.TableID, tables []coherence.Table) (depends.Dependency, error) {
	dep := depends.Dependency{Words: d.String()}
	id, ok := byName[d.Table.Qualified()]
	if !ok {
		return dep, fmt.Errorf("table %s is not watched", d.Table)
	}
	table := &tables[id]
	dep.Template.Table = id
	for _, col := range d.Columns {
		dep.Template.Counts = dep.Template.Counts.With(table.Column(col.Name))
	}
	for _, cond := range d.Where {
		column := table.Column(cond.Column)
		if column < 0 {
			return dep, fmt.Errorf("column %s of table %s is not watched", cond.Column, d.Table)
		}
		if len(d.Columns) > 0 {
			dep.Template.Counts = dep.Template.Counts.With(column)
		}
		if !cond.Range() {
			dep.Template.Equal = append(dep.Template.Equal, coherence.Equal{Column: column, Fold: fold(cond.Fold)})
			dep.Equal = append(dep.Equal, expressions(cond.Any))
			continue
		}
		if cond.Fold != config.FoldNone {
			continue // there is no exact rule for such a range: no condition
		}
		var r depends.Range
		if cond.From != nil {
			r.From = &cond.From.Expr
		}
		if cond.To != nil {
			r.To = &cond.To.Expr
		}
		dep.Template.Ranges = append(dep.Template.Ranges, column)
		dep.Ranges = append(dep.Ranges, r)
	}
	return dep, nil
}

// named are the dependencies that responses are expected to name: the columns
// of each of postgres.watch, alone and together.
func named(c *config.Config, tables []coherence.Table) []coherence.Template {
	var list []coherence.Template
	for _, w := range c.Postgres.Watch {
		for id := range tables {
			if tables[id].Name != w.Table.Qualified() {
				continue
			}
			t := coherence.Template{Table: coherence.TableID(id)}
			for _, col := range w.Columns {
				if i := tables[id].Column(col.Name); i >= 0 {
					t.Equal = append(t.Equal, coherence.Equal{Column: i})
				}
			}
			list = append(list, t)
		}
	}
	return list
}

func fold(f config.Fold) coherence.Fold {
	switch f {
	case config.FoldLower:
		return coherence.Lower
	case config.FoldUpper:
		return coherence.Upper
	}
	return coherence.NoFold
}

// expressions are the same without where they stand in the file.
func expressions(list []config.Expr) []expr.Expr {
	out := make([]expr.Expr, len(list))
	for i, e := range list {
		out[i] = e.Expr
	}
	return out
}

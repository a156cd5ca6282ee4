package sidecar

import (
	"maps"
	"slices"

	"walpurge/config"
	"walpurge/internal/cdc"
)

// watches are the tables that the routes depend on and those that responses
// may name, by name, each with every column that some condition or column list
// mentions.
func watches(c *config.Config) []cdc.Watch {
	type columns struct{ mentioned, compared, folded map[string]bool }
	tables := map[string]columns{}
	of := func(t config.Table) columns {
		name := t.Qualified()
		if _, ok := tables[name]; !ok {
			tables[name] = columns{map[string]bool{}, map[string]bool{}, map[string]bool{}}
		}
		return tables[name]
	}
	if c.Postgres != nil {
		for _, w := range c.Postgres.Watch {
			watched := of(w.Table)
			for _, c := range w.Columns {
				watched.mentioned[c.Name] = true
				watched.compared[c.Name] = true
			}
		}
	}
	for _, route := range c.Routes {
		for _, dep := range route.DependsOn {
			name := dep.Table.Qualified()
			of(dep.Table)
			for _, c := range dep.Where {
				tables[name].mentioned[c.Column] = true
				tables[name].compared[c.Column] = true
				if c.Fold != config.FoldNone {
					tables[name].folded[c.Column] = true
				}
			}
			for _, c := range dep.Columns {
				tables[name].mentioned[c.Name] = true
			}
		}
	}
	var list []cdc.Watch
	for _, name := range slices.Sorted(maps.Keys(tables)) {
		list = append(list, cdc.Watch{
			Table:      name,
			Columns:    slices.Sorted(maps.Keys(tables[name].mentioned)),
			Conditions: slices.Sorted(maps.Keys(tables[name].compared)),
			Folded:     slices.Sorted(maps.Keys(tables[name].folded)),
		})
	}
	return list
}

// place finds where the configuration first mentions a table, or one of its
// columns.
func place(c *config.Config, table, column string) config.Pos {
	var found config.Pos
	if c.Postgres != nil {
		for _, w := range c.Postgres.Watch {
			if w.Table.Qualified() != table {
				continue
			}
			if found = w.Table.Pos; column == "" {
				return found
			}
			for _, col := range w.Columns {
				if col.Name == column {
					return col.Pos
				}
			}
		}
	}
	for _, route := range c.Routes {
		for _, dep := range route.DependsOn {
			if dep.Table.Qualified() != table {
				continue
			}
			if column == "" {
				return dep.Table.Pos
			}
			for _, cond := range dep.Where {
				if cond.Column == column {
					return cond.Pos
				}
			}
			for _, col := range dep.Columns {
				if col.Name == column {
					return col.Pos
				}
			}
			found = dep.Table.Pos
		}
	}
	return found
}

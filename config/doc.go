// Package config reads the proxy's configuration: one YAML file, read strictly.
//
// An unknown key, a key given twice, a value out of bounds or an expression that does not parse is a [Problem] with
// file, line and column. All problems of a file are reported together, each with the line it stands in. Whatever a
// later check against the database's catalogue may have to complain about (routes, tables, columns, conditions) keeps
// its position, so that such a check reports in the same form through [Config.Problem].
//
// Values that came from the environment and passwords in URLs are never printed: not in problems, not by
// [Config.String], not by a logger.
package config

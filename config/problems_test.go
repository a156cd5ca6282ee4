package config

import (
	"fmt"
	"strings"
	"testing"

	"walpurge/internal/expr"

	"github.com/cockroachdb/datadriven"
)

// TestProblems runs the scripts in testdata. "parse" prints what is wrong with its input, or the settings and routes;
// arguments set environment variables. "tree" prints the routes with positions.
func TestProblems(t *testing.T) {
	datadriven.Walk(t, "testdata/scripts", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			env := map[string]string{}
			for _, arg := range d.CmdArgs {
				env[arg.Key] = strings.Join(arg.Vals, ",")
			}
			c, err := Parse("f", []byte(d.Input), func(name string) (string, bool) {
				v, ok := env[name]
				return v, ok
			})
			switch {
			case err != nil:
				return err.Error()
			case d.Cmd == "tree":
				return tree(c)
			}
			return strings.TrimRight(c.String(), "\n")
		})
	})
}

func tree(c *Config) string {
	var b strings.Builder
	at := func(p Pos) string { return fmt.Sprintf("%d:%d", p.Line, p.Column) }
	for _, r := range c.Routes {
		fmt.Fprintf(&b, "%s path %s", at(r.Pos), r.Path)
		for _, s := range r.Pattern.Segments {
			fmt.Fprintf(&b, " %d%q", s.Kind, s.Text+s.Name)
		}
		fmt.Fprintf(&b, "\n  query %s, vary %v\n", r.Query, r.Vary)
		for _, d := range r.DependsOn {
			fmt.Fprintf(&b, "  %s table %s at %s\n", at(d.Pos), d.Table, at(d.Table.Pos))
			for _, w := range d.Where {
				fmt.Fprintf(&b, "    %s %s\n", at(w.Pos), w)
				for _, e := range w.exprs() {
					name, literal := e.Name, ""
					if e.Source == expr.Literal {
						name, literal = "", e.Name
					}
					fmt.Fprintf(&b, "      %s %s %q%q%v%v\n", at(e.Pos), e.Source, name, literal, e.Steps, e.Funcs)
				}
			}
			for _, col := range d.Columns {
				fmt.Fprintf(&b, "    %s column %s\n", at(col.Pos), col.Name)
			}
		}
	}
	return strings.TrimRight(b.String(), "\n")
}

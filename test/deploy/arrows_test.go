package deploy

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// arrows are who may know whom: a package, and what it may import. A name stands for the package and for nothing below
// it; paths are from the module's root, without "internal/". What begins with a capital is a list of groups.
//
// The wire and the gateway know nothing of caching, the cache nothing of PostgreSQL, cdc nothing of HTTP, and nothing of
// the product what is for developing and testing it.
const arrows = `
cmd/proxy: sidecar
cmd/origin: origin/command
sidecar: PRODUCT GATEWAY ROOMS
config: expr suggest conninfo identifier redisclient

expr: suggest
suggest:
coherence:
identifier:
loopback:
retry:
wire:
wal: coherence
conninfo: loopback
pgerror: conninfo
redisclient: loopback
relay: coherence identifier redisclient retry wire
relay/relaytest: relay

http1:
rfc9111: http1
downstream: http1
upstream: http1 rfc9111 loopback
accesslog: http1 coherence
problem: http1

proxycache/outcome: CACHE upstream
proxycache/position: CACHE
proxycache/depends: CACHE expr
proxycache/route: CACHE expr proxycache/depends proxycache/outcome
proxycache/store: CACHE proxycache/route proxycache/depends
proxycache/redistier: CACHE proxycache/store proxycache/route redisclient
proxycache/fill: CACHE proxycache/outcome proxycache/store proxycache/redistier proxycache/route proxycache/depends proxycache/position upstream
proxycache/live: CACHE proxycache/store proxycache/route proxycache/depends
proxycache/audit: CACHE proxycache/store proxycache/route proxycache/depends upstream
proxycache: CACHE GATEWAY ROOMS expr redisclient
admin: proxycache problem coherence

cdc/pgoutput: LOG wire
cdc/pgoutput/pgoutputtest: LOG cdc/pgoutput
cdc/primary: LOG
cdc/catalogue: LOG cdc/pgoutput cdc/primary wal
cdc/readahead: LOG cdc/catalogue cdc/pgoutput cdc/primary wal
cdc/proof: LOG cdc/pgoutput cdc/primary
cdc/cdcmetrics: LOG cdc cdc/catalogue
cdc: LOG cdc/proof cdc/pgoutput cdc/primary cdc/catalogue cdc/readahead relay wal wire

querycache: coherence redisclient
querycache/follow: querycache cdc cdc/catalogue cdc/cdcmetrics coherence relay
origin: querycache coherence conninfo
origin/command: origin querycache querycache/follow conninfo pgerror redisclient

dev/subprocess:
dev/testbed: dev/subprocess
dev/testbed/browser:
dev/demo: PRODUCT GATEWAY ROOMS origin dev/subprocess dev/testbed
dev/bench: PRODUCT GATEWAY ROOMS origin dev/subprocess dev/testbed

test/rig: sidecar origin querycache/follow proxycache coherence dev/testbed
test/scenario: test/rig sidecar
test/oracle: test/rig sidecar
test/site: test/rig sidecar
test/peers: test/rig sidecar
test/measure: test/rig sidecar
test/deploy: config
`

// groups of packages that several may know.
var groups = map[string]string{
	"CACHE":   "coherence identifier http1 rfc9111",
	"GATEWAY": "downstream upstream accesslog problem loopback",
	"ROOMS": "proxycache/outcome proxycache/position proxycache/depends proxycache/route proxycache/store proxycache/redistier " +
		"proxycache/fill proxycache/live proxycache/audit",
	"LOG": "coherence identifier retry conninfo pgerror",
	"PRODUCT": "config expr admin proxycache cdc cdc/cdcmetrics cdc/pgoutput cdc/primary cdc/catalogue cdc/readahead relay wal coherence http1 rfc9111 " +
		"identifier conninfo pgerror redisclient retry wire",
}

// room is a package of the module.
type room struct {
	path    string // from the module's root, without internal/
	imports []string
	tests   []string // what its tests import
	main    bool
	files   map[string]int // lines by name, tests too
}

func (r room) product() bool {
	top, _, _ := strings.Cut(r.path, "/")
	return top != "dev" && top != "test"
}

// rooms are all packages that go list finds.
func rooms(t *testing.T) (all []room) {
	t.Helper()
	own := func(list string) (paths []string) {
		for path := range strings.FieldsSeq(list) {
			if path, ok := strings.CutPrefix(path, "walpurge/"); ok {
				paths = append(paths, strings.TrimPrefix(path, "internal/"))
			}
		}
		slices.Sort(paths)
		return slices.Compact(paths)
	}
	list := exec.Command("go", "list", "-f", "{{.ImportPath}}|{{join .Imports \" \"}}|{{join .TestImports \" \"}} {{join .XTestImports \" \"}}|{{.Dir}}|{{.Name}}", "./...")
	list.Dir = root
	out, err := list.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for line := range strings.Lines(string(out)) {
		cells := strings.Split(strings.TrimSpace(line), "|")
		r := room{path: own(cells[0])[0], imports: own(cells[1]), tests: own(cells[2]), main: cells[4] == "main", files: map[string]int{}}
		// Not what go list names, which leaves out what is for other systems. All are read, so that a result that go test
		// has kept is of these files.
		files, err := filepath.Glob(filepath.Join(cells[3], "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			r.files[filepath.Base(file)] = strings.Count(string(text), "\n")
		}
		all = append(all, r)
	}
	return all
}

// allowed reads the table: what each package may know.
func allowed(table string) (map[string]map[string]bool, error) {
	all := map[string]map[string]bool{}
	for line := range strings.Lines(table) {
		path, known, ok := strings.Cut(strings.TrimSpace(line), ":")
		if !ok {
			continue
		}
		if all[path] != nil {
			return nil, fmt.Errorf("%s stands in the table twice", path)
		}
		all[path] = map[string]bool{}
		for name := range strings.FieldsSeq(known) {
			if group, ok := groups[name]; ok {
				name = group
			}
			for one := range strings.FieldsSeq(name) {
				all[path][one] = true
			}
		}
	}
	for path, known := range all {
		for one := range known {
			if all[one] == nil {
				return nil, fmt.Errorf("%s may know %s, which has no row", path, one)
			}
		}
	}
	return all, nil
}

// wrongArrows are the packages that the table doesn't have, and the imports that it doesn't allow. A package's tests may
// know whatever can be reached from it, the testbed, and packages for tests alone, which end in "test".
func wrongArrows(table string, packages []room) (faults []string) {
	all, err := allowed(table)
	if err != nil {
		return []string{err.Error()}
	}
	var reach func(path string, seen map[string]bool)
	reach = func(path string, seen map[string]bool) {
		for one := range all[path] {
			if !seen[one] {
				seen[one] = true
				reach(one, seen)
			}
		}
	}
	forTests := func(path string) bool { return strings.HasSuffix(path, "test") }
	for _, r := range packages {
		known := all[r.path]
		if known == nil {
			faults = append(faults, fmt.Sprintf("%s has no row in the table of arrows: give it one, with what it may know", r.path))
			continue
		}
		for _, path := range r.imports {
			if !known[path] || forTests(path) {
				faults = append(faults, fmt.Sprintf("%s imports %s, which it may not know", r.path, path))
			}
		}
		reached := map[string]bool{}
		reach(r.path, reached)
		for _, path := range r.tests {
			if !reached[path] && path != r.path && !forTests(path) && path != "dev/subprocess" && !strings.HasPrefix(path+"/", "dev/testbed/") {
				faults = append(faults, fmt.Sprintf("the tests of %s import %s, which they may not know", r.path, path))
			}
		}
	}
	slices.Sort(faults)
	return faults
}

// TestArrows: each package knows those that it may know and no others.
func TestArrows(t *testing.T) {
	packages := rooms(t)
	if len(packages) < 30 {
		t.Errorf("found only %d packages", len(packages))
	}
	for _, fault := range wrongArrows(arrows, packages) {
		t.Error(fault)
	}
}

func TestWrongArrowsAreFound(t *testing.T) {
	const table = "config: wire\nwire:\nwal: wire\nrelay: wal\ndev/testbed:\n"
	for _, c := range []struct {
		name  string
		table string
		room  room
		want  string
	}{
		{"all is well", table, room{path: "wal", imports: []string{"wire"}, tests: []string{"wire", "wal", "dev/testbed", "relay/relaytest"}}, ""},
		{"back", table, room{path: "wire", imports: []string{"wal"}}, "wire imports wal, which it may not know"},
		{"over a step", table, room{path: "relay", imports: []string{"wire"}}, "relay imports wire, which it may not know"},
		{"a test may take the step", table, room{path: "relay", tests: []string{"wire"}}, ""},
		{"a test goes back", table, room{path: "wire", tests: []string{"wal"}}, "the tests of wire import wal, which they may not know"},
		{"the testbed is for tests", table, room{path: "wire", imports: []string{"dev/testbed"}}, "wire imports dev/testbed, which it may not know"},
		{"a package for tests", table + "relay/relaytest: wal\n", room{path: "wal", imports: []string{"relay/relaytest"}}, "wal imports relay/relaytest, which it may not know"},
		{"no row", table, room{path: "util"}, "util has no row in the table of arrows: give it one, with what it may know"},
		{"a row of nothing", "wal: log\n", room{}, "wal may know log, which has no row"},
		{"two rows", table + "wal:\n", room{}, "wal stands in the table twice"},
	} {
		if got := strings.Join(wrongArrows(c.table, []room{c.room}), "; "); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// What fits: more than that is two packages, or two files.
const (
	packageLines = 3300
	fileLines    = 400
)

// TestNoRoomIsTooLarge: no package of the product and no file of one has more lines than can be looked through, tests aside.
func TestNoRoomIsTooLarge(t *testing.T) {
	for _, r := range rooms(t) {
		if !r.product() {
			continue
		}
		sum := 0
		for name, lines := range r.files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			if sum += lines; lines > fileLines {
				t.Errorf("%s/%s has %d lines, more than %d: it is about more than one thing", r.path, name, lines, fileLines)
			}
		}
		if sum > packageLines {
			t.Errorf("%s has %d lines without its tests, more than %d: part of it is a package of its own", r.path, sum, packageLines)
		}
	}
}

// TestProgramsHaveScriptsAlone: package main of what is shipped has no test but that of the command line's scripts.
// Everything else stands in a package that tests can import.
func TestProgramsHaveScriptsAlone(t *testing.T) {
	programs := 0
	for _, r := range rooms(t) {
		if !r.main || !r.product() {
			continue
		}
		programs++
		for name := range r.files {
			if strings.HasSuffix(name, "_test.go") && name != "script_test.go" {
				t.Errorf("%s/%s is a test in package main", r.path, name)
			}
		}
	}
	if programs != 2 {
		t.Errorf("found %d programs, want proxy and origin", programs)
	}
}

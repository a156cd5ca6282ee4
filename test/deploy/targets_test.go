package deploy

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// goTest is one call of go test by a target of the Makefile.
type goTest struct {
	race, short bool
	run, skip   *regexp.Regexp // nil: none
	packages    []string
}

func (g goTest) runs(in testIn) bool {
	named := func(pattern string) bool {
		below, all := strings.CutSuffix(pattern, "/...")
		return pattern == in.dir || all && (in.dir == below || strings.HasPrefix(in.dir, below+"/"))
	}
	return slices.ContainsFunc(g.packages, named) &&
		(g.run == nil || g.run.MatchString(in.name)) && (g.skip == nil || !g.skip.MatchString(in.name))
}

// testIn is a test in the package of a directory.
type testIn struct{ dir, name string }

// byMake gives make to run, in the repository and as if make had not started this test.
func byMake(args ...string) *exec.Cmd {
	command := exec.Command("make", args...)
	command.Dir = root
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); !strings.HasPrefix(name, "MAKE") && name != "MFLAGS" {
			command.Env = append(command.Env, v)
		}
	}
	return command
}

// recipe is what make would run for a target.
func recipe(t *testing.T, target string) string {
	t.Helper()
	read(t, "Makefile") // so that a result that go test has kept is of this Makefile
	out, err := byMake("--dry-run", target).CombinedOutput()
	if err != nil {
		t.Fatalf("make --dry-run %s: %v\n%s", target, err, out)
	}
	return strings.ReplaceAll(string(out), "\\\n", " ")
}

// goTests are the calls of go test that a target makes.
func goTests(t *testing.T, target string) (all []goTest) {
	t.Helper()
	for _, call := range regexp.MustCompile(`(WALPURGE_SHORT=1 )?\bgo test ((?:'[^']*'|[^';>\n])+)`).FindAllStringSubmatch(recipe(t, target), -1) {
		g := goTest{short: call[1] != ""}
		words := word.FindAllString(call[2], -1)
		for i := 0; i < len(words); i++ {
			switch w := words[i]; w {
			case "-race":
				g.race = true
			case "-run", "-skip", "-p", "-timeout":
				i++
				switch w {
				case "-run":
					g.run = regexp.MustCompile(strings.Trim(words[i], "'"))
				case "-skip":
					g.skip = regexp.MustCompile(strings.Trim(words[i], "'"))
				}
			case "-vet=off":
			default:
				if !strings.HasPrefix(w, "./") {
					t.Fatalf("make %s: `go test %s`: this test doesn't know %s", target, call[2], w)
				}
				g.packages = append(g.packages, w)
			}
		}
		all = append(all, g)
	}
	if len(all) == 0 {
		t.Fatalf("make %s calls no go test", target)
	}
	return all
}

// functions are the tests or the fuzz targets of this repository.
func functions(t *testing.T, kind string) (all []testIn) {
	t.Helper()
	declared := regexp.MustCompile(`(?m)^func (` + kind + `[A-Z]\w*)\(\w+ \*testing\.[TF]\)`)
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		dir, _ := filepath.Rel(root, filepath.Dir(path))
		for _, m := range declared.FindAllSubmatch(text, -1) {
			all = append(all, testIn{"./" + filepath.ToSlash(dir), string(m[1])})
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// make test is short, and make soak is long: together they run every test, with the race detector but for what
// says why not.
func TestNothingFallsOutOfMake(t *testing.T) {
	quick, soak := goTests(t, "test"), goTests(t, "soak")
	for _, g := range quick {
		if !g.short || g.race {
			t.Errorf("make test runs %+v: it has time for short tests only, and none for the race detector", g)
		}
	}
	known := map[string]bool{}
	for _, in := range functions(t, "Test") {
		known[in.name] = true
		full := slices.ContainsFunc(soak, func(g goTest) bool { return !g.short && g.runs(in) })
		raced := slices.ContainsFunc(soak, func(g goTest) bool { return !g.short && g.race && g.runs(in) })
		if !full {
			t.Errorf("make soak doesn't run %s of %s", in.name, in.dir)
		} else if !raced && in.name != "TestMillionRowsInOneTransaction" {
			t.Errorf("make soak runs %s of %s without the race detector", in.name, in.dir)
		}
	}
	for _, name := range regexp.MustCompile(`\bTest[A-Z]\w+`).FindAllString(read(t, "Makefile"), -1) {
		if !known[name] {
			t.Errorf("the Makefile names %s, which is no test", name)
		}
	}
	if !strings.Contains(recipe(t, "soak"), "scripts/fuzz.sh 1m ") {
		t.Error("make soak doesn't fuzz for a minute each")
	}
}

// Each part can be run alone, and a test belongs to one of them.
func TestEveryTestBelongsToOnePart(t *testing.T) {
	parts := map[string][]goTest{}
	for _, part := range []string{"unit", "whole", "proof", "measure"} {
		parts[part] = goTests(t, part)
	}
	for _, in := range functions(t, "Test") {
		var found []string
		for part, calls := range parts {
			for _, g := range calls {
				if g.runs(in) {
					found = append(found, part)
				}
			}
		}
		if len(found) != 1 {
			t.Errorf("%s of %s is run by %q of the parts, want one", in.name, in.dir, found)
		}
	}
	for _, g := range goTests(t, "quick") {
		if !g.short || g.race {
			t.Errorf("make quick runs %+v: it has time for short tests only, and none for the race detector", g)
		}
	}
}

// Each promise of the README is held by tests of make test, and longer by those of make soak, as CONTRIBUTING says.
func TestPromisesAreHeldWhereContributingSays(t *testing.T) {
	var promises []string
	_, list, _ := strings.Cut(read(t, "README.md"), "## What is guaranteed\n")
	list, _, _ = strings.Cut(list, "\n## ")
	for _, m := range regexp.MustCompile(`(?m)^\* \*\*(.+?)\.\*\*`).FindAllStringSubmatch(list, -1) {
		promises = append(promises, m[1])
	}
	if len(promises) < 6 {
		t.Fatalf("README promises %q, want at least 6", promises)
	}
	_, table, _ := strings.Cut(read(t, "CONTRIBUTING.md"), "| Promise | `make test` | `make soak` |\n|---|---|---|\n")
	table, _, _ = strings.Cut(table, "\n\n")
	tests, fuzzed := functions(t, "Test"), functions(t, "Fuzz")
	var rows []string
	for row := range strings.Lines(table) {
		cells := strings.Split(strings.TrimSpace(row), "|")
		if len(cells) != 5 {
			t.Fatalf("CONTRIBUTING.md: %q has no three cells", row)
		}
		rows = append(rows, strings.TrimSpace(cells[1]))
		for i, target := range []string{"test", "soak"} {
			calls := goTests(t, target)
			names := regexp.MustCompile("`((?:Test|Fuzz)[A-Z]\\w+)`").FindAllStringSubmatch(cells[2+i], -1)
			if len(names) == 0 {
				t.Errorf("CONTRIBUTING.md: %s has no test in make %s", rows[len(rows)-1], target)
			}
			for _, name := range names {
				called := func(in testIn) bool { return in.name == name[1] }
				if strings.HasPrefix(name[1], "Fuzz") {
					if target != "soak" || !slices.ContainsFunc(fuzzed, called) {
						t.Errorf("CONTRIBUTING.md: make %s fuzzes no %s", target, name[1])
					}
					continue
				}
				if !slices.ContainsFunc(tests, called) {
					t.Errorf("CONTRIBUTING.md names %s, which is no test", name[1])
				}
				for _, in := range tests {
					if called(in) && !slices.ContainsFunc(calls, func(g goTest) bool { return g.runs(in) }) {
						t.Errorf("CONTRIBUTING.md: make %s doesn't run %s of %s", target, in.name, in.dir)
					}
				}
			}
		}
	}
	if !slices.Equal(rows, promises) {
		t.Errorf("CONTRIBUTING.md says where %q are held, README promises %q", rows, promises)
	}
}

// CI runs both parts, the second where the first has passed, and says how long each took.
func TestCITellsHowLongEachPartTook(t *testing.T) {
	for _, c := range []struct {
		fails string
		want  string
		code  int
	}{
		{"none", `^make test\nmake soak\nci: test \d+ s\nci: soak \d+ s\n$`, 0},
		{"test", `^make test\nci: test \d+ s, failed\n$`, 3},
		{"soak", `^make test\nmake soak\nci: test \d+ s\nci: soak \d+ s, failed\n$`, 3},
	} {
		bin := t.TempDir()
		stand := "#!/bin/sh\necho make $1\nif [ $1 = " + c.fails + " ]; then exit 3; fi\n"
		if err := os.WriteFile(filepath.Join(bin, "make"), []byte(stand), 0o700); err != nil {
			t.Fatal(err)
		}
		read(t, ".ci/run")
		run := exec.Command(filepath.Join(root, ".ci", "run"))
		run.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"))
		out, err := run.Output()
		if run.ProcessState == nil {
			t.Fatal(err)
		}
		if code := run.ProcessState.ExitCode(); code != c.code || !regexp.MustCompile(c.want).Match(out) {
			t.Errorf("where %s fails: exit status %d, want %d, and it prints\n%swant %s", c.fails, code, c.code, out, c.want)
		}
	}
}

package deploy

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// rule is a section of a specification: of an RFC, "9111", or of a draft of the
// HTTP working group without its prefix and revision, "no-vary-search".
type rule struct{ spec, section string }

func (r rule) String() string { return r.spec + ", " + r.section }

// within tells whether r is o or a part of it.
func (r rule) within(o rule) bool {
	return r.spec == o.spec && (r.section == o.section || strings.HasPrefix(r.section, o.section+"."))
}

// rulesOf are the rules of docs/HTTP.md: each section of each row in the tables
// of what is done. Those of rows that are left out altogether are false.
func rulesOf(doc string) (map[rule]bool, error) {
	rules := map[rule]bool{}
	spec := ""
	for line := range strings.Lines(doc) {
		if title, ok := strings.CutPrefix(line, "## "); ok {
			spec = ""
			if m := regexp.MustCompile(`^RFC (\d+), `).FindStringSubmatch(title); m != nil {
				spec = m[1]
			} else if strings.TrimSpace(title) == "Others" {
				spec = "others"
			}
			continue
		}
		cells := strings.SplitN(strings.TrimSpace(line), " | ", 3)
		if spec == "" || len(cells) < 3 || cells[0] == "| Section" || cells[0] == "| RFC" {
			continue
		}
		sections := strings.Split(strings.TrimPrefix(cells[0], "| "), ", ")
		of := spec
		if spec == "others" {
			of = regexp.MustCompile(`^draft-ietf-httpbis-(.*?)(-\d\d)?$`).ReplaceAllString(sections[0], "$1")
			sections = sections[1:]
		}
		if len(sections) == 0 {
			return nil, fmt.Errorf("the row %q names no section", cells[0])
		}
		for _, section := range sections {
			if !regexp.MustCompile(`^\d+(\.\d+)*$`).MatchString(section) {
				return nil, fmt.Errorf("the row %q: %q is no section", cells[0], section)
			}
			r := rule{of, section}
			rules[r] = rules[r] || !strings.HasPrefix(cells[2], "left out")
		}
	}
	return rules, nil
}

var ruleTest = regexp.MustCompile(`^Test(?:RFC(\d+)|Draft([A-Z]\w*))Section(\d+(?:_\d+)*)[A-Z]\w*$`)

// ruleOf is the rule that a test is named after. ok is false for a test that is
// not named after one.
func ruleOf(test string) (r rule, ok bool, err error) {
	if !regexp.MustCompile(`^Test(RFC\d|Draft[A-Z])`).MatchString(test) {
		return rule{}, false, nil
	}
	m := ruleTest.FindStringSubmatch(test)
	if m == nil {
		return rule{}, false, fmt.Errorf("%s names no section: a test of an RFC's is called TestRFC9111Section4_1Vary, one of a draft's TestDraftNoVarySearchSection6Comparing", test)
	}
	spec := m[1]
	if spec == "" { // NoVarySearch is no-vary-search
		spec = strings.ToLower(strings.TrimPrefix(regexp.MustCompile(`[A-Z]`).ReplaceAllString(m[2], "-$0"), "-"))
	}
	return rule{spec, strings.ReplaceAll(m[3], "_", ".")}, true, nil
}

// testsBelow are the names of the test functions in directories and those below.
func testsBelow(dirs ...string) ([]string, error) {
	var names []string
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, "_test.go") {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			for _, decl := range file.Decls {
				if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil && strings.HasPrefix(f.Name.Name, "Test") {
					names = append(names, f.Name.Name)
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return names, nil
}

// compare finds what a document's rules and the tests' names don't agree on. A
// test belongs to the narrowest section of the document that contains its own.
func compare(doc string, tests []string) []string {
	rules, err := rulesOf(doc)
	if err != nil {
		return []string{err.Error()}
	}
	var faults []string
	tested := map[rule]bool{}
	for _, test := range tests {
		r, ok, err := ruleOf(test)
		if err != nil {
			faults = append(faults, err.Error())
		}
		if !ok {
			continue
		}
		var home rule
		for candidate := range rules {
			if r.within(candidate) && len(candidate.section) > len(home.section) {
				home = candidate
			}
		}
		if home == (rule{}) {
			faults = append(faults, fmt.Sprintf("%s: no row of docs/HTTP.md has %s", test, r))
		}
		tested[home] = true
	}
	for r, done := range rules {
		if done && !tested[r] {
			faults = append(faults, fmt.Sprintf("docs/HTTP.md has %s, and no test is named after it", r))
		}
	}
	slices.Sort(faults)
	return faults
}

// TestHTTPRulesHaveTests: what docs/HTTP.md says is done is tested under its
// section's name, and what is tested under such a name stands there.
func TestHTTPRulesHaveTests(t *testing.T) {
	doc, err := os.ReadFile("../../docs/HTTP.md")
	if err != nil {
		t.Fatal(err)
	}
	tests, err := testsBelow("../../internal/http1", "../../internal/rfc9111", "../../internal/proxycache")
	if err != nil {
		t.Fatal(err)
	}
	for _, fault := range compare(string(doc), tests) {
		t.Error(fault)
	}
	if rules, _ := rulesOf(string(doc)); len(rules) < 50 {
		t.Errorf("found only %d sections in the tables", len(rules))
	}
}

func TestHTTPRulesAreCompared(t *testing.T) {
	const doc = `# Title

## RFC 9111, HTTP Caching

| Section | Subject | State |
|---|---|---|
| 3 | Storing | done |
| 3.1, 3.2 | Fields | done |
| 5.5 | Warning | left out: obsolete |

## Others

| RFC | Subject | State |
|---|---|---|
| 9211, 2 | Cache-Status | done |
| draft-ietf-httpbis-no-vary-search-06, 6 | Queries | done |

## Beside others

| Tests | Sentence | So |
|---|---|---|
| age | RFC 9111, 5.1 | we do |
`
	whole := []string{
		"TestRFC9111Section3Storing", "TestRFC9111Section3_1A304", "TestRFC9111Section3_2_7Deep", "TestRFC9211Section2_6Collapsed",
		"TestDraftNoVarySearchSection6Comparing", "TestAnything",
	}
	without := func(name string) []string {
		return slices.DeleteFunc(slices.Clone(whole), func(s string) bool { return s == name })
	}
	for _, c := range []struct {
		name  string
		tests []string
		want  []string
	}{
		{"whole", whole, nil},
		{"left out may be tested", append(whole, "TestRFC9111Section5_5Warning"), nil},
		{"a row without a test", without("TestRFC9111Section3_2_7Deep"), []string{"docs/HTTP.md has 9111, 3.2, and no test is named after it"}},
		{"a narrower row's test is not the wider's", without("TestRFC9111Section3Storing"), []string{"docs/HTTP.md has 9111, 3, and no test is named after it"}},
		{"a draft without a test", without("TestDraftNoVarySearchSection6Comparing"), []string{"docs/HTTP.md has no-vary-search, 6, and no test is named after it"}},
		{"a section without a row", append(whole, "TestRFC9111Section4_1Vary"), []string{"TestRFC9111Section4_1Vary: no row of docs/HTTP.md has 9111, 4.1"}},
		{"the same number of another RFC", append(whole, "TestRFC9110Section3Storing"), []string{"TestRFC9110Section3Storing: no row of docs/HTTP.md has 9110, 3"}},
		{"no section", append(whole, "TestRFC9211Parameters"), []string{"TestRFC9211Parameters names no section: a test of an RFC's is called TestRFC9111Section4_1Vary, one of a draft's TestDraftNoVarySearchSection6Comparing"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := compare(doc, c.tests); !slices.Equal(got, c.want) {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
	for _, row := range []string{"| 9211 | Cache-Status | done |", "| 9112, 2.2 to 3.2 | Heads | done |"} {
		if _, err := rulesOf("## Others\n\n" + row + "\n"); err == nil {
			t.Errorf("%s: no error", row)
		}
	}
}

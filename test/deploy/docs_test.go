package deploy

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestREADMEShowsTheMinimalConfiguration: what people copy is what is tested.
func TestREADMEShowsTheMinimalConfiguration(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	minimal, err := os.ReadFile("../../config/minimal.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(readme), "```yaml\n"+string(minimal)+"```") {
		t.Error("README.md does not show config/minimal.yaml as it is")
	}
}

// TestDocsNameTestsThatExist: a guarantee that points to a test must have it.
func TestDocsNameTestsThatExist(t *testing.T) {
	known := map[string]bool{}
	err := filepath.WalkDir(root, func(path string, _ os.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, m := range regexp.MustCompile(`(?m)^func (Test\w+)\(`).FindAllSubmatch(text, -1) {
			known[string(m[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	named := 0
	for _, pattern := range []string{"../../*.md", "../../docs/*.md", "../../docs/*/*.md"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range regexp.MustCompile("`(Test[A-Z]\\w+)`").FindAllSubmatch(text, -1) {
				named++
				if !known[string(m[1])] {
					t.Errorf("%s names %s, which is no test", file, m[1])
				}
			}
		}
	}
	if named < 10 {
		t.Errorf("found only %d tests named in the documents", named)
	}
}

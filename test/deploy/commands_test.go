package deploy

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"walpurge/config"
)

// programs are the two programs, built once.
var programs = sync.OnceValues(func() (string, error) {
	bin := filepath.Join(buildDir, "bin")
	build := exec.Command("go", "build", "-o", bin+"/", "./cmd/proxy", "./cmd/origin")
	build.Dir = root
	out, err := build.CombinedOutput()
	if err != nil {
		return string(out), err
	}
	return bin, nil
})

// understood makes sure that a program takes a command line: asked for help at its end, it reads all of it first.
func understood(t *testing.T, words []string) {
	t.Helper()
	bin, err := programs()
	if err != nil {
		t.Fatalf("build the programs: %v\n%s", err, bin)
	}
	command := exec.Command(filepath.Join(bin, filepath.Base(words[0])), append(words[1:len(words):len(words)], "-h")...)
	if out, err := command.CombinedOutput(); err != nil || !bytes.HasPrefix(out, []byte("usage: ")) {
		t.Errorf("%s: %v\n%s", strings.Join(words, " "), err, out)
	}
}

var (
	fenced   = regexp.MustCompile("(?ms)^```([a-z]*)\n(.*?)^```$")
	word     = regexp.MustCompile(`'[^']*'|"[^"]*"|[^\s'"]+`)
	ourWords = regexp.MustCompile(`^(?:\./)?(?:bin/)?(proxy|origin)$`)
)

// documents are what users read.
func documents(t *testing.T) map[string]string {
	t.Helper()
	texts := map[string]string{}
	for _, pattern := range []string{"README.md", "docs/GUIDE.md", "docs/OPERATIONS.md", "docs/HTTP.md"} {
		texts[pattern] = read(t, pattern)
	}
	return texts
}

// TestDocumentedConfigurationsLoad: what people copy from the documents is a configuration.
func TestDocumentedConfigurationsLoad(t *testing.T) {
	loaded := 0
	for name, text := range documents(t) {
		for _, block := range fenced.FindAllStringSubmatch(text, -1) {
			if block[1] != "yaml" {
				continue
			}
			if _, err := config.Parse(name, []byte(block[2]), nil); err != nil {
				t.Errorf("%s:\n%s\n%v", name, block[2], err)
			}
			loaded++
		}
	}
	if loaded < 7 {
		t.Errorf("found only %d configurations in the documents", loaded)
	}
}

// TestDocumentedCommandsAreUnderstood: each command line of ours in the documents is one that the program takes.
func TestDocumentedCommandsAreUnderstood(t *testing.T) {
	tried := 0
	for name, text := range documents(t) {
		var lines []string
		for _, block := range fenced.FindAllStringSubmatch(text, -1) {
			lines = append(lines, strings.Split(block[2], "\n")...)
		}
		for _, inline := range regexp.MustCompile("`((?:bin/)?(?:proxy|origin) [a-z][^`\n]*)`").FindAllStringSubmatch(text, -1) {
			lines = append(lines, inline[1])
		}
		for _, line := range lines {
			line, _, _ = strings.Cut(line, " #")
			words := word.FindAllString(strings.TrimPrefix(line, "$ "), -1)
			if len(words) < 2 || !ourWords.MatchString(words[0]) {
				continue
			}
			for i, w := range words {
				words[i] = strings.Trim(w, `'"`)
			}
			t.Logf("%s: %s", name, line)
			understood(t, words)
			tried++
		}
	}
	if tried < 8 {
		t.Errorf("found only %d command lines in the documents", tried)
	}
}

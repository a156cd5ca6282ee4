package http1

import "testing"

func TestCleanPath(t *testing.T) {
	for path, want := range map[string]bool{
		"/": true, "/a/b": true, "/a/": true, "/a.b/..c": true, "/...": true, "/%41": true, "/é": true, "/a;b": true,
		"//": false, "/a//b": false, "/.": false, "/a/..": false, "/a/../b": false, "/a/%2e%2E/b": false, "/%2e": false,
		"/a%2fb": false, "/a%2Fb": false, "/a%5Cb": false, `/a\b`: false, "/a%00": false, "/a%0a": false, "/%zz": false, "/%2": false, "/a%": false,
		"/%252e": false, "/a#b": false, "": false, "a": false,
	} {
		if CleanPath([]byte(path)) != want {
			t.Errorf("%q: %v", path, !want)
		}
	}
}

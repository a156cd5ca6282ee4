package origin

import (
	"strings"
	"testing"
)

func TestConditionalRequests(t *testing.T) {
	s := start(t, 20)
	for _, path := range []string{"/api/listings", "/api/listings/1", "/api/agents/1", "/", "/listings", "/listings/1", "/listings/1/edit", "/listings/new", "/static/site.css"} {
		whole := s.get(path)
		tag := whole.header.Get("ETag")
		if whole.status != 200 || len(tag) < 10 || !strings.HasPrefix(tag, `"`) || whole.header.Get("Cache-Control") != "" {
			t.Errorf("%s: %d, ETag: %s, Cache-Control: %s", path, whole.status, tag, whole.header.Get("Cache-Control"))
			continue
		}
		for field, want := range map[string]int{
			tag: 304, "W/" + tag: 304, `"other", ` + tag: 304, "*": 304,
			`"other"`: 200, strings.Trim(tag, `"`): 200, `""`: 200,
		} {
			a := s.get(path, "If-None-Match", field)
			if a.status != want || a.header.Get("ETag") != tag || want == 304 && len(a.body) > 0 {
				t.Errorf("%s with If-None-Match: %s: %d, %d bytes, ETag: %s; want %d", path, field, a.status, len(a.body), a.header.Get("ETag"), want)
			}
		}
		if a := s.get(path, "If-None-Match", `"a"`, "If-None-Match", tag); a.status != 304 {
			t.Errorf("%s: a second If-None-Match line is not read: %d", path, a.status)
		}
		head := s.do("HEAD", path, "")
		if head.status != 200 || len(head.body) != 0 || head.header.Get("ETag") != tag ||
			head.header.Get("Content-Length") != whole.header.Get("Content-Length") || head.header.Get("Content-Length") == "" {
			t.Errorf("HEAD %s: %d %v", path, head.status, head.header)
		}
		if a := s.do("HEAD", path, "", "If-None-Match", tag); a.status != 304 {
			t.Errorf("conditional HEAD %s: %d", path, a.status)
		}
	}
}

func TestTagFollowsTheContent(t *testing.T) {
	s := start(t, 20)
	for _, path := range []string{"/api/listings/1", "/listings/1"} {
		before := s.get(path).header.Get("ETag")
		if again := s.get(path).header.Get("ETag"); again != before {
			t.Errorf("%s: the tag changed by itself: %s, %s", path, before, again)
		}
		s.exec("update listings set title = title || '!' where id = 1")
		if after := s.get(path, "If-None-Match", before); after.status != 200 || after.header.Get("ETag") == before {
			t.Errorf("%s: %d with the old tag after a change", path, after.status)
		}
	}
}

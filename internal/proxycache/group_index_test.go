package proxycache

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"walpurge/internal/coherence"
	"walpurge/internal/rfc9111"
)

func TestRFC9875Section3GroupsEndByUnsafeRequests(t *testing.T) {
	for name, c := range map[string]struct {
		groups, ends string
		method       string
		status       int
		host         string
		ended        bool
	}{
		"named":            {`"a", "b"`, `"b"`, "POST", 200, "", true},
		"another":          {`"a"`, `"b"`, "POST", 200, "", false},
		"letter case":      {`"a"`, `"A"`, "POST", 200, "", false},
		"several":          {`"b"`, `"a", "b"`, "DELETE", 204, "", true},
		"redirect":         {`"a"`, `"a"`, "PUT", 303, "", true},
		"failed":           {`"a"`, `"a"`, "POST", 500, "", false},
		"safe":             {`"a"`, `"a"`, "GET", 200, "", false},
		"no list":          {`"a"`, `"a`, "POST", 200, "", false},
		"another origin":   {`"a"`, `"a"`, "POST", 200, "elsewhere.test", false},
		"tokens are none":  {`a`, `a`, "POST", 200, "", false},
		"with a parameter": {`"a";x=1`, `"a"`, "POST", 200, "", true},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, plainHTTP)
			r.say("old", "Cache-Control: max-age=60", "Cache-Groups: "+c.groups, "Vary: X-Foo")
			r.get("/a", "X-Foo: 1")
			r.get("/a", "X-Foo: 2")
			r.counted(c.status, "Cache-Group-Invalidation: "+c.ends)
			var fields []string
			if c.host != "" {
				fields = append(fields, "Host: "+c.host)
			}
			r.do(c.method, "/b", nil, fields...)
			r.say("new", "Cache-Control: max-age=60", "Vary: X-Foo")
			for _, foo := range []string{"1", "2"} {
				if got := r.get("/a", "X-Foo: "+foo); (got.body == "new") != c.ended {
					t.Error(got.body)
				}
			}
		})
	}
}

func TestRFC9875Section2GroupsOfOneResponseAreBounded(t *testing.T) {
	names := make([]string, rfc9111.MaxGroups+1)
	for i := range names {
		names[i] = fmt.Sprintf(`"g%d"`, i)
	}
	for last, ended := range map[string]bool{names[rfc9111.MaxGroups-1]: true, names[rfc9111.MaxGroups]: false} {
		r := newRig(t, plainHTTP)
		r.say("old", "Cache-Control: max-age=60", "Cache-Groups: "+strings.Join(names, ", "))
		r.get("/a")
		r.say("", "Cache-Group-Invalidation: "+last)
		r.do("POST", "/b", nil)
		r.say("new", "Cache-Control: max-age=60")
		if got := r.get("/a"); (got.body == "new") != ended {
			t.Errorf("%s is ended: %q", last, got.body)
		}
	}
}

// No cascade: what shares another group with an ended response stays.
func TestRFC9875Section2_2_1GroupsDoNotCascade(t *testing.T) {
	r := newRig(t, plainHTTP)
	r.say("one", "Cache-Control: max-age=60", `Cache-Groups: "a", "b"`)
	r.get("/1")
	r.say("two", "Cache-Control: max-age=60", `Cache-Groups: "b"`)
	r.get("/2")
	r.say("", `Cache-Group-Invalidation: "a"`)
	r.do("POST", "/x", nil)
	r.want(r.get("/2"), "two", "walpurge; hit")
	r.say("new", "Cache-Control: max-age=60")
	r.want(r.get("/1"), "new", "walpurge; fwd")
}

func TestRFC9875Section3AFillThatBeganBeforeIsNotKept(t *testing.T) {
	r := newRig(t, plainHTTP)
	g := newGate()
	r.answer(func(w http.ResponseWriter, req *http.Request) {
		if req.Method == http.MethodPost {
			w.Header().Set("Cache-Group-Invalidation", `"a"`)
			return
		}
		g.pass()
		w.Header().Set("Cache-Control", "max-age=60")
		w.Header().Set("Cache-Groups", `"a"`)
		_, _ = io.WriteString(w, "old")
	})
	got := make(chan reply, 1)
	go func() {
		rep, err := r.try("GET", "/1", nil)
		if err != nil {
			t.Error(err)
		}
		got <- rep
	}()
	r.eventually("the fill has begun", func() bool { return g.arrived.Load() == 1 })
	r.do("POST", "/x", nil)
	close(g.open)
	if rep := <-got; rep.body != "old" {
		t.Fatal(rep.body)
	}
	r.say("new", "Cache-Control: max-age=60")
	r.want(r.get("/1"), "new", "walpurge; fwd")
}

func TestRFC9875Section2GroupsLeaveWithTheirResponses(t *testing.T) {
	r := newRig(t, plainHTTP)
	for i := range 20 {
		r.say("x", "Cache-Control: max-age=60", fmt.Sprintf(`Cache-Groups: "g%d", "all"`, i))
		r.get(fmt.Sprint("/", i))
	}
	r.say("")
	for i := range 20 {
		r.do("POST", fmt.Sprint("/", i), nil)
	}
	if n := r.proxy.memory.GroupCount(); n != 0 {
		t.Errorf("%d groups are left", n)
	}
}

// toldPurger is a purger that remembers.
type toldPurger struct{ groups []string }

func (p *toldPurger) Purge(_ context.Context, groups []string) (coherence.LSN, error) {
	p.groups = append(p.groups, groups...)
	return 1, nil
}

func TestRFC9875Section3EndedGroupsAreToldToTheLog(t *testing.T) {
	p := &toldPurger{}
	r := newRig(t, func(_ *rig, o *Options) { o.Purger = p })
	r.say("", `Cache-Group-Invalidation: "a", "b"`)
	r.do("POST", "/x", nil)
	if !slices.Equal(p.groups, []string{"a", "b"}) {
		t.Error(p.groups)
	}
}

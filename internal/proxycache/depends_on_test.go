package proxycache

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"walpurge/internal/coherence"
	"walpurge/internal/proxycache/depends"
	"walpurge/internal/proxycache/route"
)

// namedTables are tables whose names and columns Depends-On has trouble with.
var namedTables = []coherence.Table{
	{Name: "public.Post", Columns: []coherence.Column{
		{Name: "userId", Kind: coherence.Integer}, {Name: "slug", Kind: coherence.Text}, {Name: "sold", Kind: coherence.Boolean}, {Name: "price", Kind: coherence.Numeric},
	}},
	{Name: "public.pair", Columns: []coherence.Column{{Name: "id", Kind: coherence.Integer, Twin: true}, {Name: "ID", Kind: coherence.Integer, Twin: true}}},
}

// declares is a rig whose origin sends a Depends-On, and what it logs.
func declares(t *testing.T, fields ...string) (*rig, *changeLog) {
	t.Helper()
	log := &changeLog{}
	r := newRig(t, func(r *rig, o *Options) {
		var err error
		if r.guard, err = coherence.New(coherence.Config{Tables: namedTables, FenceBits: 12}); err != nil {
			t.Fatal(err)
		}
		o.Guard, o.Logger = r.guard, slog.New(slog.NewTextHandler(log, nil))
		o.Routes = []route.Declaration{{Pattern: "/said", MaxLag: time.Hour, Declared: true}, {Pattern: "/both", MaxLag: time.Hour, Depends: []depends.Dependency{{Template: coherence.Template{Table: 1}}}}}
	})
	r.say("x", fields...)
	return r, log
}

// changes commits an update of a row of a table, whose values are given in order.
func (r *rig) changes(table coherence.TableID, values ...string) {
	row := make([]coherence.Value, len(namedTables[table].Columns))
	for i := range row {
		if row[i].State = coherence.Null; i < len(values) && values[i] != "" {
			row[i] = coherence.Value{State: coherence.Known, Text: []byte(values[i])}
		}
	}
	r.xid++
	tx := coherence.NewTransaction(namedTables, 1000)
	tx.Begin(r.xid, r.lsn+10, time.Now())
	tx.Append(table, coherence.Update, row, row, coherence.AnyColumn)
	tx.Commit(r.lsn + 20)
	r.lsn += 100
	r.guard.Apply(tx)
	r.settle()
}

func TestDependsOnNamesColumnsByTheirLowerCaseKeys(t *testing.T) {
	for _, c := range []struct {
		field       string
		table       coherence.TableID
		ends, stays []string
	}{
		{"Post;userid=7", 0, []string{"7"}, []string{"8"}},
		{"Post;slug=ab;userid=7", 0, []string{"7", "ab"}, []string{"7", "b"}},
		{`Post;slug="7"`, 0, []string{"", "7"}, []string{"", "8"}},
		{"Post;slug=7", 0, []string{"", "7"}, []string{"", "8"}},
		{"Post;sold", 0, []string{"", "", "t"}, []string{"", "", "f"}},
		{"Post;sold=?0", 0, []string{"", "", "f"}, []string{"", "", "t"}},
		{"Post;price=1.50", 0, []string{"", "", "", "1.5"}, []string{"", "", "", "2"}},
		{"Post;userid=1, Post;userid=1, Post;userid=2", 0, []string{"2"}, []string{"3"}},
		// What a number or a missing value was as text can't be told.
		{"Post;slug=007", 0, []string{"", "007"}, nil},
		{"Post;slug=1.50", 0, []string{"", "1.50"}, nil},
		{"Post;slug", 0, []string{"", "any"}, nil},
		// Two columns that differ in letter case only.
		{"pair;id=1", 1, []string{"2", "1"}, nil},
		{"pair;id=1", 1, []string{"1", "2"}, nil},
		{"pair;id=1", 1, []string{"3", "3"}, nil},
	} {
		r, _ := declares(t, "Depends-On: "+c.field)
		r.get("/said")
		r.want(r.get("/said"), "x", "walpurge; hit")
		if c.stays != nil {
			r.changes(c.table, c.stays...)
			r.want(r.get("/said"), "x", "walpurge; hit")
		}
		r.changes(c.table, c.ends...)
		if got := r.get("/said"); strings.HasPrefix(got.cacheStatus(), "walpurge; hit") {
			t.Errorf("%s outlives a change of %q", c.field, c.ends)
		}
	}
}

func TestDependsOnThatSaysNothingOrTwoThings(t *testing.T) {
	for _, c := range []struct{ field, logged string }{
		{"", "is empty"},
		{"Post;userId=7", "lower-case"},
		{"Post;slug=\"a;B\";userId=7", "lower-case"},
		{"Post;userid=1;userid=2", "names a column twice"},
		{"pair, Post;userid=1;slug=\"x;userid=\\\"\"; userid=1", "names a column twice"},
		{"Post;slug=\"x;slug=1\";userid", ""},
		{"Post;userid=1, Post;userid=2", ""},
		{"Nowhere;id=1", "isn't watched"},
		{"(Post);userid=1", "not a table"},
		{"Post;slug=12ab-cd", "can't be read"},
		{"Post;slug=\"S\xc3\xa3o\"", "can't be read"},
		{"Post,", "can't be read"},
	} {
		r, log := declares(t, "Depends-On: "+c.field)
		for range 3 {
			got := r.get("/said").cacheStatus()
			if c.logged != "" && !strings.HasSuffix(got, "detail=undeclared") && !strings.HasSuffix(got, "detail=uncacheable") {
				t.Errorf("%q is kept: %s", c.field, got)
			}
		}
		log.mu.Lock()
		text := log.text.String()
		log.mu.Unlock()
		if n := strings.Count(text, "level=WARN"); c.logged == "" && n != 0 || c.logged != "" && (n != 1 || !strings.Contains(text, c.logged)) {
			t.Errorf("%q logs %q, want %q once", c.field, text, c.logged)
		}
	}
	// Beside a list in depends_on the field adds nothing if it is empty, and takes
	// the page out of the cache if it can't be read.
	r, _ := declares(t, "Depends-On: ")
	r.get("/both")
	r.want(r.get("/both"), "x", "walpurge; hit")
	r, _ = declares(t, "Depends-On: pair;id=1;id=2")
	r.get("/both")
	if got := r.get("/both").cacheStatus(); strings.HasPrefix(got, "walpurge; hit") {
		t.Error(got)
	}
	// Field lines make one list.
	r, _ = declares(t, "Depends-On: Post;userid=1", "Depends-On: Post;userid=2;userid=3")
	r.get("/said")
	if got := r.get("/said").cacheStatus(); strings.HasPrefix(got, "walpurge; hit") {
		t.Error(got)
	}
}

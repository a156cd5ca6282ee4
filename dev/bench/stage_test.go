package main

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// onStage builds the proxy and starts what all parts share.
func onStage(t *testing.T) *stage {
	t.Helper()
	dir := t.TempDir()
	proxy := filepath.Join(dir, "proxy")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", proxy, "walpurge/cmd/proxy").CombinedOutput(); err != nil {
		t.Fatalf("build the proxy: %v: %s", err, out)
	}
	st, err := newStage(t.Context(), filepath.Join(dir, "stage"), proxy, proxy, true, t.Logf)
	t.Cleanup(func() {
		if err := st.end(); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// TestStage runs small loads over one stage: to start it is what takes long.
func TestStage(t *testing.T) {
	st := onStage(t)
	for name, test := range map[string]func(*testing.T, *stage){
		"hits are compared":                        hitsAreCompared,
		"a server that does not start is named":    badServerIsNamed,
		"requests that reach the origin are noted": missesAreNoHits,
		"long TTLs are stale, and ours is not":     stalenessIsSeen,
		"purges by a trigger arrive":               purgesArrive,
		"changed rows are those that were wanted":  rowsChange,
		"the memory of a group is read":            memoryIsRead,
		"an earlier build takes turns":             earlierBuildTakesTurns,
		"purges are compared with what changed":    precisionIsMeasured,
	} {
		t.Run(name, func(t *testing.T) { test(t, st) })
	}
}

func hitsAreCompared(t *testing.T, st *stage) {
	names := []string{guarded, haproxy, nginx, varnish, bottom}
	trials := []trial{{label: "case", names: names, size: 300, connections: 4}}
	found, err := st.try(t.Context(), trials, 1, 200*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if f := found["case"][name]; f == nil || len(f.rate) != 1 || f.rate[0] <= 0 {
			t.Errorf("%s: %+v", name, f)
		}
	}
	if rows := compared("Title", trials, found).rows; len(rows) != len(names) || rows[0][1] != guarded {
		t.Errorf("rows: %q", rows)
	}
}

func badServerIsNamed(t *testing.T, st *stage) {
	st.all["broken"] = &contestant{name: "broken", program: "sh", args: []string{"-c", "echo the reason; exit 3"}}
	st.all["missing"] = &contestant{name: "missing", program: "no-such-program"}
	defer delete(st.all, "broken")
	defer delete(st.all, "missing")
	for name, want := range map[string]string{
		"broken":  "broken does not serve: sh ended by itself, exit status 3; its log says:\nthe reason",
		"missing": "missing: no-such-program not found: `make bench` builds and installs",
		"unknown": "there is no contestant unknown",
	} {
		if _, err := st.run(t.Context(), name, nil); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// A load of misses is no load of hits.
func missesAreNoHits(t *testing.T, st *stage) {
	err := st.with(t.Context(), guarded, 2, nil, func(s *server, g *generator) error {
		p := s.pages(pageSize, 0, func(n int) int { return 5000 + n })
		p.count = 50
		if _, err := st.measure(t.Context(), s, g, p); err == nil || !strings.Contains(err.Error(), "50 of 50 requests reached the origin: they were no hits") {
			t.Errorf("got %v", err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func stalenessIsSeen(t *testing.T, st *stage) {
	settings := staleSettings{keys: 20, reads: 200, writes: 100, before: 500 * time.Millisecond, span: 1500 * time.Millisecond, strategies: []strategy{
		{name: nginx, label: "TTL 60 s", ttl: "60s"}, {name: varnish, label: "purged", purge: true}, {name: guarded},
	}}
	ws, commits, err := st.watchStaleness(t.Context(), settings)
	if err != nil {
		t.Fatal(err)
	}
	long, ours := ws[0], ws[2]
	if commits == 0 || long.reads == 0 || ours.reads == 0 {
		t.Fatalf("%d commits, %d and %d reads", commits, long.reads, ours.reads)
	}
	if long.stale == 0 || int64(len(long.ages)) != long.stale {
		t.Errorf("%s: %d stale responses, %d ages", long, long.stale, len(long.ages))
	}
	if ours.settled != 0 {
		t.Errorf("%s: %d responses were stale after the change was settled", ours, ours.settled)
	}
	if ours.atEnd == ours.atStart {
		t.Errorf("%s: nothing reached its origin", ours)
	}
	r := staleResult(ws, commits, settings)
	if len(r.goals) != 1 || !r.goals[0].met() || len(r.tables[0].rows) != 3 || wellFormed(r.pictures["staleness.svg"]) != nil {
		t.Errorf("the result: %+v", r)
	}
}

// A page that Varnish has is fetched again after its row has changed, and only because of the trigger: it has no TTL to end.
func purgesArrive(t *testing.T, st *stage) {
	settings := staleSettings{keys: 5, reads: 100, writes: 20, span: time.Second, strategies: []strategy{{name: varnish, label: "purged", purge: true}}}
	ws, commits, err := st.watchStaleness(t.Context(), settings)
	if err != nil {
		t.Fatal(err)
	}
	if reached := ws[0].atEnd - ws[0].atStart; commits > 4 && reached < 2 {
		t.Errorf("%d requests reached the origin after %d commits", reached, commits)
	}
}

func rowsChange(t *testing.T, st *stage) {
	count := func() (n, outside int) {
		err := st.db.QueryRow(t.Context(), "SELECT coalesce(sum(version), 0), count(*) FILTER (WHERE id NOT BETWEEN 200 AND 299) FROM pages WHERE version > 1000").Scan(&n, &outside)
		if err != nil {
			t.Fatal(err)
		}
		return n, outside
	}
	if _, err := st.db.Exec(t.Context(), "UPDATE pages SET version = 1000 WHERE id < 1000"); err != nil {
		t.Fatal(err)
	}
	w := &rowWriter{url: st.database, perSecond: 1000, from: 200, to: 300}
	err := w.while(t.Context(), func() error {
		return eventually(t.Context(), "rows have changed twice", func() (bool, error) { return w.did.Load() >= 150, nil })
	})
	if err != nil {
		t.Fatal(err)
	}
	if n, outside := count(); n == 0 || outside != 0 {
		t.Errorf("versions of %d in all, %d rows outside of those that were wanted", n, outside)
	}
}

func memoryIsRead(t *testing.T, st *stage) {
	p := shell(t, "sleep 60 & wait")
	defer func() { _ = p.stop() }()
	if n, err := groupResident(p.Handle.Pid); err != nil || n < 100<<10 || n > 1<<30 {
		t.Errorf("%d bytes, %v", n, err)
	}
}

func earlierBuildTakesTurns(t *testing.T, st *stage) {
	r, err := measureBefore(t.Context(), st)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.goals) != 5 {
		t.Errorf("%d goals", len(r.goals))
	}
	for _, g := range r.goals {
		if g.ratio <= 0.1 || g.ratio > 10 { // it is the same program
			t.Errorf("%s: %.2f", g.what, g.ratio)
		}
	}
}

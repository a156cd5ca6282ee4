package main

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// A response is stale if, and only if, a later version had been committed when the request began; its age counts from
// the commit of the very next version, not of the newest.
func TestLedgerJudges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		start := time.Now()
		l := newLedger(3, 1)
		at := []time.Duration{0} // at[v-1]: when version v was committed
		for v := 2; v <= rapid.IntRange(1, 8).Draw(t, "versions"); v++ {
			at = append(at, at[len(at)-1]+time.Duration(rapid.IntRange(1, 100).Draw(t, "gap")))
			if err := l.committed(2, v, start.Add(at[v-1])); err != nil {
				t.Fatal(err)
			}
		}
		version := rapid.IntRange(1, len(at)).Draw(t, "version")
		began := time.Duration(rapid.IntRange(0, 900).Draw(t, "began"))
		got, err := l.judge(2, version, start.Add(began))
		if err != nil {
			t.Fatal(err)
		}
		want := verdict{}
		if version < len(at) && at[version] <= began {
			want = verdict{stale: true, age: began - at[version]}
		}
		if got != want {
			t.Fatalf("version %d at %v of %v: got %+v, want %+v", version, began, at, got, want)
		}
	})
}

func TestLedgerKnowsWhatIsSettled(t *testing.T) {
	start := time.Now()
	l := newLedger(2, 1)
	for v := 2; v <= 3; v++ {
		if err := l.committed(1, v, start.Add(time.Duration(v))); err != nil {
			t.Fatal(err)
		}
	}
	l.settle(1, 2, start.Add(10))
	for began, want := range map[time.Duration]bool{9: false, 10: true, 11: true} {
		if v, err := l.judge(1, 1, start.Add(began)); err != nil || !v.stale || v.settled != want {
			t.Errorf("at %v: %+v, %v; want settled %v", began, v, err, want)
		}
	}
	if v, err := l.judge(1, 2, start.Add(100)); err != nil || !v.stale || v.settled {
		t.Errorf("version 3 isn't settled: %+v, %v", v, err)
	}
	if _, err := l.judge(1, 0, start); err == nil {
		t.Error("a version before the first was taken")
	}
	if err := l.committed(1, 5, start); err == nil {
		t.Error("a version was left out, and nobody noticed")
	}
}

package main

import (
	"strings"
	"testing"
)

// Who has shown nothing stands in the table as such, and makes nobody's ratio.
func TestWhoDropsConnectionsIsNotCompared(t *testing.T) {
	trials := []trial{{label: "many", names: []string{guarded, varnish, nginx}}}
	found := map[string]map[string]*tried{"many": {
		guarded: {cpu: series{2, 2, 2}, rate: series{1, 1, 1}}, varnish: {}, nginx: {cpu: series{4}, rate: series{1}},
	}}
	got := compared("Hits", trials, found)
	for i, want := range []string{"1.00", "", "0.50"} {
		if got.rows[i][2] != want {
			t.Errorf("row %d: %q", i, got.rows[i])
		}
	}
	if row := strings.Join(got.rows[1], "|"); !strings.Contains(row, "dropped connections") {
		t.Error(row)
	}
}

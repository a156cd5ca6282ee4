package deploy

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// metric is one of the metrics that stay put.
type metric struct {
	histogram bool
	labels    []string
}

// metrics are those that dashboards and alerts may rely on. Names and labels are an interface: add to them.
var metrics = map[string]metric{
	"walpurge_requests_total":            {labels: []string{"route", "outcome"}},
	"walpurge_changes_total":             {labels: []string{"table", "op"}},
	"walpurge_purged_entries_total":      {labels: []string{"table"}},
	"walpurge_commit_to_purge_seconds":   {histogram: true},
	"walpurge_behind_seconds":            {},
	"walpurge_slot_retained_bytes":       {},
	"walpurge_epochs_total":              {labels: []string{"reason"}},
	"walpurge_leader":                    {},
	"walpurge_lost_tables":               {},
	"walpurge_memory_bytes":              {},
	"walpurge_memory_entries":            {},
	"walpurge_redis_requests_total":      {labels: []string{"op", "result"}},
	"walpurge_redis_server_bytes":        {labels: []string{"node"}},
	"walpurge_fills_discarded_total":     {labels: []string{"reason"}},
	"walpurge_audit_total":               {labels: []string{"result"}},
	"walpurge_request_duration_seconds":  {histogram: true, labels: []string{"outcome"}},
	"walpurge_upstream_duration_seconds": {histogram: true},
}

// outcomes are the values of the label of that name.
var outcomes = []string{"hit", "miss", "stale", "revalidated", "collapsed", "bypass", "pass", "error"}

var (
	metricName = regexp.MustCompile(`\bwalpurge_[a-z0-9_]+`)
	selector   = regexp.MustCompile(`\b(walpurge_[a-z0-9_]+)\{([^}]*)\}`)
	matcher    = regexp.MustCompile(`([a-z_]+)\s*(?:=~|!~|!=|=)\s*"([^"]*)"`)
	grouping   = regexp.MustCompile(`\bby\s*\(([^)]*)\)`)
)

// problems says what an expression takes for granted that isn't so.
func problems(expression string) (list []string) {
	scraped := []string{"instance", "job"}
	available := slices.Clone(scraped)
	for _, name := range metricName.FindAllString(expression, -1) {
		base, isBucket := strings.CutSuffix(name, "_bucket")
		m, ok := metrics[base]
		switch {
		case !ok:
			list = append(list, "there is no metric "+name)
		case m.histogram != isBucket:
			list = append(list, name+" is not how this metric is exported")
		}
		available = append(available, m.labels...)
		if isBucket {
			available = append(available, "le")
		}
	}
	for _, match := range selector.FindAllStringSubmatch(expression, -1) {
		m := metrics[strings.TrimSuffix(match[1], "_bucket")]
		for _, pair := range matcher.FindAllStringSubmatch(match[2], -1) {
			if !slices.Contains(m.labels, pair[1]) && !slices.Contains(scraped, pair[1]) {
				list = append(list, match[1]+" has no label "+pair[1])
			}
			if pair[1] != "outcome" {
				continue
			}
			for value := range strings.SplitSeq(pair[2], "|") {
				if !slices.Contains(outcomes, value) {
					list = append(list, "there is no outcome "+value)
				}
			}
		}
	}
	for _, match := range grouping.FindAllStringSubmatch(expression, -1) {
		for label := range strings.SplitSeq(match[1], ",") {
			if label = strings.TrimSpace(label); !slices.Contains(available, label) {
				list = append(list, "nothing here has the label "+label)
			}
		}
	}
	return list
}

// The check itself finds what it is for.
func TestWrongExpressionsAreFound(t *testing.T) {
	for expression, want := range map[string]string{
		`rate(walpurge_request_total[5m])`:                                "there is no metric walpurge_request_total",
		`walpurge_behind_seconds_bucket`:                                  "walpurge_behind_seconds_bucket is not how this metric is exported",
		`walpurge_commit_to_purge_seconds > 1`:                            "walpurge_commit_to_purge_seconds is not how this metric is exported",
		`walpurge_requests_total{path="/"}`:                               "walpurge_requests_total has no label path",
		`walpurge_requests_total{outcome=~"hit|hits"}`:                    "there is no outcome hits",
		`sum by (table, kind) (rate(walpurge_changes_total[5m]))`:         "nothing here has the label kind",
		`sum by (le, outcome) (walpurge_request_duration_seconds_bucket)`: "",
		`walpurge_requests_total{instance="a", outcome!~"pass|bypass"}`:   "",
	} {
		if got := strings.Join(problems(expression), "; "); got != want {
			t.Errorf("%s: got %q, want %q", expression, got, want)
		}
	}
}

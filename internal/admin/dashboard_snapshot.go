package admin

import (
	"time"
)

// snapshot is what the dashboard shows at one moment. Rates are the page's to
// work out, from one snapshot to the next.
type snapshot struct {
	At          int64               `json:"at"`     // ms since 1970
	Status      map[string]any      `json:"status"` // as /status has it
	Counters    map[string][]series `json:"counters"`
	Changes     []change            `json:"changes,omitempty"` // the newest first
	CanPurge    bool                `json:"can_purge"`
	TokenNeeded bool                `json:"token_needed"` // for a purge
}

// series is one time series of a metric.
type series struct {
	Labels map[string]string `json:"labels"`
	Value  float64           `json:"value"`
}

// dashboardCounters are the metrics that the page works with.
var dashboardCounters = map[string]bool{
	"walpurge_requests_total": true, "walpurge_changes_total": true, "walpurge_purged_entries_total": true,
	"walpurge_epochs_total": true, "walpurge_redis_requests_total": true, "walpurge_fills_discarded_total": true,
	"walpurge_audit_total": true,
}

func (d *dashboard) snapshot() *snapshot {
	a := d.a
	s := &snapshot{
		At: time.Now().UnixMilli(), Status: a.status(), Changes: d.changes.newest(), Counters: make(map[string][]series),
		CanPurge: a.opt.Purger != nil, TokenNeeded: a.opt.Token != "",
	}
	// What could be gathered is returned with the error; the scrape reports it.
	families, _ := a.proxy.Registry().Gather()
	for _, f := range families {
		if !dashboardCounters[f.GetName()] {
			continue
		}
		for _, m := range f.GetMetric() {
			v := m.GetCounter().GetValue()
			if v == 0 {
				continue // most combinations of labels never occur
			}
			labels := make(map[string]string)
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			s.Counters[f.GetName()] = append(s.Counters[f.GetName()], series{labels, v})
		}
	}
	return s
}

package rig

import (
	"encoding/json"
	"io"
	"strings"

	"walpurge/internal/coherence"
)

// Status is what the tests read of /status.
type Status struct {
	Position struct {
		Epoch     string `json:"epoch"`
		Applied   string `json:"applied"`
		Watermark string `json:"watermark"`
		Pending   int    `json:"pending"`
		Role      string `json:"role"`
		Connected bool   `json:"connected"`
		Sessions  int    `json:"sessions"`
	} `json:"database"`
}

// Status asks the proxy for its status. It is empty where there is no whole answer.
func (r *Rig) Status() Status {
	r.T.Helper()
	var s Status
	resp, err := r.Client.Get(r.Admin + "/status")
	if err != nil {
		return s
	}
	defer resp.Body.Close()
	if json.NewDecoder(resp.Body).Decode(&s) != nil {
		return Status{} // it was killed while it answered
	}
	return s
}

func (r *Rig) watermark() uint64 {
	r.T.Helper()
	if r.Admin == "" { // no proxy: the query cache alone
		return uint64(r.Queries.cache.Watermark())
	}
	s := r.Status()
	if s.Position.Watermark == "" {
		return 0
	}
	lsn, err := coherence.ParseLSN(s.Position.Watermark)
	if err != nil {
		r.T.Fatal(err)
	}
	return uint64(lsn)
}

// Samples reads a metric: what it counts by the text of its labels.
func (r *Rig) Samples(name string) map[string]float64 {
	r.T.Helper()
	resp, err := r.Client.Get(r.Admin + "/metrics")
	if err != nil {
		r.T.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		r.T.Fatal(err)
	}
	found := map[string]float64{}
	for line := range strings.Lines(string(text)) {
		rest, ok := strings.CutPrefix(line, name)
		if !ok || rest[0] != ' ' && rest[0] != '{' {
			continue
		}
		i := strings.LastIndexByte(rest, ' ')
		var v float64
		if err := json.Unmarshal([]byte(strings.TrimSpace(rest[i:])), &v); err == nil {
			found[rest[:i]] = v
		}
	}
	return found
}

// Metric sums the samples of a metric whose labels contain all of the given text.
func (r *Rig) Metric(name string, labels ...string) float64 {
	r.T.Helper()
	var sum float64
	for text, v := range r.Samples(name) {
		matches := true
		for _, l := range labels {
			matches = matches && strings.Contains(text, l)
		}
		if matches {
			sum += v
		}
	}
	return sum
}

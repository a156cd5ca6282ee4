package sidecar

import (
	"encoding/json"
	"io"
	"strings"

	"walpurge/internal/coherence"
)

// status is what the tests read of /status.
type status struct {
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

func (r *rig) status() status {
	r.t.Helper()
	var s status
	resp, err := r.client.Get(r.admin + "/status")
	if err != nil {
		return s
	}
	defer resp.Body.Close()
	if json.NewDecoder(resp.Body).Decode(&s) != nil {
		return status{} // it was killed while it answered
	}
	return s
}

func (r *rig) watermark() uint64 {
	r.t.Helper()
	if r.admin == "" { // no proxy: the query cache alone
		return uint64(r.queries.cache.Watermark())
	}
	s := r.status()
	if s.Position.Watermark == "" {
		return 0
	}
	lsn, err := coherence.ParseLSN(s.Position.Watermark)
	if err != nil {
		r.t.Fatal(err)
	}
	return uint64(lsn)
}

// samples reads a metric: what it counts by the text of its labels.
func (r *rig) samples(name string) map[string]float64 {
	r.t.Helper()
	resp, err := r.client.Get(r.admin + "/metrics")
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
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

// metric sums the samples of a metric whose labels contain all of the given text.
func (r *rig) metric(name string, labels ...string) float64 {
	r.t.Helper()
	var sum float64
	for text, v := range r.samples(name) {
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

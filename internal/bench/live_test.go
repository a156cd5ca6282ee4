package bench

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

func TestWhatAnEntryTakesIsTheSlopeBetweenCollections(t *testing.T) {
	// The collector runs at each third scrape; an entry takes 300 bytes, all else 5,000,000.
	var scrapes atomic.Int64
	enough := make(chan struct{})
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		n := scrapes.Add(1)
		if n == 8 {
			close(enough)
		}
		_, _ = fmt.Fprintf(w, "# HELP x\n%s %d\n%s_more 1\n%s %g\n", liveMetric, 5_000_000+300*1000*(n/3*3), liveMetric, entriesMetric, float64(1000*n))
	}))
	defer proxy.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var l liveHeap
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.watch(ctx, strings.TrimPrefix(proxy.URL, "http://"))
	}()
	<-enough
	cancel()
	<-done
	got, err := l.perEntry()
	if err != nil || got != 300 {
		t.Errorf("%v, %v", got, err)
	}
}

func TestWhatAnEntryTakesIsNotGuessed(t *testing.T) {
	for name, l := range map[string]*liveHeap{
		"one collection": {pairs: []livePair{{1, 1}, {2, 2}}},
		"no growth":      {pairs: []livePair{{1, 1}, {2, 2}, {3, 2}}},
		"no answer":      {pairs: []livePair{{1, 1}, {2, 2}, {3, 3}}, err: context.DeadlineExceeded},
	} {
		if got, err := l.perEntry(); err == nil {
			t.Errorf("%s: %v", name, got)
		}
	}
}

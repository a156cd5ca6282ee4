package readahead

import (
	"testing"
	"testing/synctest"
	"time"

	"walpurge/internal/cdc/catalogue"
	"walpurge/internal/coherence"
)

// TestReadingAheadEndsWhenTheStreamKeepsUp runs a log of a position a
// millisecond past a stream that is behind by a while.
func TestReadingAheadEndsWhenTheStreamKeepsUp(t *testing.T) {
	for _, test := range []struct {
		name   string
		behind func(at coherence.LSN) coherence.LSN
		want   time.Duration // 0: never
	}{
		{"it keeps up from the start", func(coherence.LSN) coherence.LSN { return 50 }, linger},
		{"it doesn't", func(coherence.LSN) coherence.LSN { return 300 }, 0},
		{"it does after two seconds", func(at coherence.LSN) coherence.LSN {
			if at < 2000 {
				return at
			}
			return 0
		}, 2*time.Second + linger},
		{"it falls back once", func(at coherence.LSN) coherence.LSN {
			if at >= 500 && at < 900 {
				return at - 499
			}
			return 0
		}, 900*time.Millisecond + linger},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var c catchingUp
				began := time.Now()
				for at := coherence.LSN(1); at < 10_000; at++ {
					<-time.After(time.Millisecond)
					if c.over(1000+at-test.behind(at), 1000+at, catalogue.DefaultReadAhead) {
						took := time.Since(began)
						if test.want == 0 || took < test.want || took > test.want+200*time.Millisecond {
							t.Errorf("it ends after %v and not %v", took, test.want)
						}
						return
					}
				}
				if test.want != 0 {
					t.Error("it doesn't end")
				}
			})
		})
	}
}

// TestStreamIsBehind: for long enough, and by enough.
func TestStreamIsBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewReader(Session{After: catalogue.DefaultReadAhead}, streamed(100), nil)
		woken := func() bool {
			select {
			case <-s.wake:
				return true
			default:
				return false
			}
		}
		far := coherence.LSN(100 + least)
		for i, step := range []struct {
			after   time.Duration
			lsn     coherence.LSN
			reached bool
			want    bool
		}{
			{0, far, false, false},
			{catalogue.DefaultReadAhead - 1, far, false, false},
			{1, far, false, true},
			{0, far, true, false}, // by what is read ahead
			{time.Second, far, false, false},
			{catalogue.DefaultReadAhead, far - 1, false, false}, // the stream will be there in a moment
			{0, far, false, false},
			{catalogue.DefaultReadAhead, far, false, true},
		} {
			<-time.After(step.after)
			s.Fell(step.lsn, step.reached)
			if got := woken(); got != step.want {
				t.Errorf("step %d: %t", i, got)
			}
		}
		s.After = 0
		<-time.After(time.Second)
		if s.Fell(far, false); woken() {
			t.Error("it is switched off")
		}
	})
}

// streamed is a Sink that knows how far the stream has been received, and no more.
type streamed coherence.LSN

func (s streamed) Streamed() coherence.LSN           { return coherence.LSN(s) }
func (streamed) Applied() coherence.LSN              { return 0 }
func (streamed) Advance(coherence.LSN)               {}
func (streamed) Deliver(*coherence.Transaction) bool { return false }

package querycache

import (
	"errors"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"

	"walpurge/dev/testbed"
	"walpurge/internal/coherence"
)

// Those who ask while a load is on its way share it, unless it may have read
// what is older than they need (R7).
func TestWhoMaySharesALoad(t *testing.T) {
	r := newRig(t, testbed.SharedRedis(t), nil)
	key := "homes\x00slice string \x00Lagos"
	f := &flights[[]string]{byKey: map[string]*flight[[]string]{}}
	deps := r.guard.Bind(&coherence.Template{Equal: []coherence.Equal{{Column: 0}}}, []coherence.Operand{Is("Lagos")}, nil)
	join := func(need needs) bool {
		_, leader := f.join(r.guard, key, need, deps)
		return !leader
	}
	at := func(lsn coherence.LSN) needs {
		return needs{said: true, position: coherence.Position{Epoch: epoch, LSN: lsn}}
	}
	if join(needs{}) {
		t.Error("the first joins")
	}
	if !join(needs{}) || !join(at(r.lsn)) {
		t.Error("an equal doesn't join")
	}
	r.guard.Advance(r.lsn + 1)
	if join(at(r.lsn + 1)) {
		t.Error("who needs more joins")
	}
	r.lsn++
	r.commit("Lagos")
	if join(needs{}) {
		t.Error("who comes after a change joins")
	}
	r.settle()
	if join(needs{}) {
		t.Error("who comes after the change is settled joins what began before")
	}
	if !join(needs{}) || join(needs{said: true, position: coherence.Position{Epoch: epoch + 1}}) {
		t.Error("who needs another epoch joins")
	}
}

// A reader who comes after a change of what a load turns out to show has joined the load when
// nobody could know. It must not get what was read before the change (R7).
func TestLoadIsNotSharedIfWhatItShowsHasChanged(t *testing.T) {
	for _, test := range []struct {
		renamed int
		want    []string
	}{
		{2, []string{"load 1", "load 1"}},
		{1, []string{"load 1", "load 2"}},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, "redis://127.0.0.1:1", nil)
			for r.cache.gate.Reachable() { // Redis is left alone: it isn't in the bubble
				r.cache.gate.Note(errors.New("nobody there"))
			}
			var mu sync.Mutex
			loads, release := 0, make(chan struct{})
			get := r.owned(func() house {
				mu.Lock()
				loads++
				n := loads
				mu.Unlock()
				if n == 1 {
					<-release
				}
				return house{Owners: []int{1}, Text: "load " + strconv.Itoa(n)}
			})
			var got []string
			var readers sync.WaitGroup
			reader := func() {
				h, err := get(t.Context(), "Lagos")
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				got = append(got, h.Text)
			}
			readers.Go(reader)
			synctest.Wait()
			r.rename(test.renamed)
			r.settle()
			r.prove()
			readers.Go(reader)
			synctest.Wait()
			close(release)
			readers.Wait()
			if slices.Sort(got); !slices.Equal(got, test.want) {
				t.Errorf("owner %d renamed: %q, want %q", test.renamed, got, test.want)
			}
		})
	}
}

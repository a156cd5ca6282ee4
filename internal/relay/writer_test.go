package relay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"walpurge/dev/testbed"
	"walpurge/internal/coherence"
)

func TestMain(m *testing.M) { testbed.Main(m) }

func newClient(t testing.TB) redis.UniversalClient {
	t.Helper()
	c, err := NewClient(testbed.SharedRedis(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func newStream(t testing.TB) *Stream {
	t.Helper()
	return (&Config{Client: newClient(t), Namespace: fmt.Sprint("test-", t.Name(), time.Now().UnixNano())}).Stream("d", "s")
}

// newWriter makes the writer of a term that has written its first entry.
func newWriter(t *testing.T) (*Writer, *Stream) {
	t.Helper()
	s := newStream(t)
	w := NewWriter(Term{
		Stream: s, After: End{Seq: 40, Epoch: 1, Applied: 100, Watermark: 100}, Nonce: 1, Announced: &Announcement{Tables: codecTables},
		Watermark: func() coherence.LSN { return 100 },
		Wrote:     func(*Entry, End) {},
		Trouble:   func(error) {},
		Logger:    slog.New(slog.DiscardHandler),
	})
	e := &Entry{Begins: true, Epoch: 1, From: 100, Applied: 100, Watermark: 100, Announced: w.term.Announced, Nonce: 1, Reason: "start"}
	if err := w.Open(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	return w, s
}

// touch is a transaction that ends at end.
func touch(end coherence.LSN) *coherence.Transaction {
	tx := coherence.NewTransaction(codecTables, 10)
	tx.Begin(1, end-5, time.UnixMicro(0))
	tx.Whole(1)
	tx.Commit(end)
	return tx
}

// ends lists where the transactions of the stream's entries end, and fails
// unless each entry begins where the one before it ends.
func ends(t *testing.T, s *Stream) (list []coherence.LSN) {
	t.Helper()
	found, err := s.Read(t.Context(), 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	m := (&Announcement{Tables: codecTables}).Onto(codecTables)
	var before *Entry
	for i := range found {
		f := &found[i]
		e, err := f.Entry()
		if err != nil {
			t.Fatal(err)
		}
		if before != nil && (e.From != before.Applied || e.Prev != found[i-1].Sum() || f.Seq != found[i-1].Seq+1) {
			t.Errorf("entry %d from %s follows %d up to %s", f.Seq, e.From, found[i-1].Seq, before.Applied)
		}
		before = e
		err = e.Each(m, coherence.NewTransaction(codecTables, 10), func(tx *coherence.Transaction) { list = append(list, tx.End) })
		if err != nil {
			t.Fatal(err)
		}
	}
	return list
}

// TestUnconfirmedEntryComesFirst: an entry that Redis has not confirmed is
// written again before any other, also at the end of the term. Anything else
// would hide it.
func TestUnconfirmedEntryComesFirst(t *testing.T) {
	w, s := newWriter(t)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	w.Transaction(touch(200))
	if _, err := w.Drain(ended); !errors.Is(err, context.Canceled) {
		t.Fatalf("written without a connection: %v", err)
	}
	w.Transaction(touch(300))
	w.Leave(t.Context(), "")
	if got := ends(t, s); len(got) != 2 || got[0] != 200 || got[1] != 300 {
		t.Errorf("the stream has the transactions that end at %v", got)
	}
}

// TestAcknowledgedIsConfirmed: what may be forgotten is in the stream (R5), and
// what comes again is not written again.
func TestAcknowledgedIsConfirmed(t *testing.T) {
	w, s := newWriter(t)
	for _, end := range []coherence.LSN{200, 150, 200, 300} {
		w.Transaction(touch(end))
	}
	w.Moved(350)
	if w.Held() != 100 {
		t.Errorf("held %s before anything was written", w.Held())
	}
	if _, err := w.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if w.Held() != 350 {
		t.Errorf("held %s after everything was written", w.Held())
	}
	if got := ends(t, s); len(got) != 2 || got[0] != 200 || got[1] != 300 {
		t.Errorf("the stream has the transactions that end at %v", got)
	}
}

// TestLostEntryIsNoticed: Redis doesn't have the entry before.
func TestLostEntryIsNoticed(t *testing.T) {
	for name, write := range map[string]func(*Writer) error{
		"by the next entry": func(w *Writer) error {
			w.Transaction(touch(200))
			_, err := w.Drain(t.Context())
			return err
		},
		"by looking": func(w *Writer) error { return w.Check(t.Context()) },
	} {
		w, s := newWriter(t)
		if err := write(w); err != nil {
			t.Errorf("%s: %v though nothing was lost", name, err)
		}
		r := s.Server.(redisServer)
		if err := r.client.Del(t.Context(), r.key).Err(); err != nil {
			t.Fatal(err)
		}
		w.Transaction(touch(300))
		var broken *BrokenError
		if err := write(w); !errors.As(err, &broken) || broken.Reason != "redis" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestWriterGivesUp: what waits for Redis is bounded.
func TestWriterGivesUp(t *testing.T) {
	w, _ := newWriter(t)
	text := make([]byte, bulkyBytes/2)
	end := coherence.LSN(200)
	for ; !w.abandoned(); end += 10 {
		if w.Queued() > queuedBytes || end > 10_000 {
			t.Fatalf("%d bytes wait", w.Queued())
		}
		tx := coherence.NewTransaction(codecTables, 10)
		tx.Begin(1, end-5, time.UnixMicro(0))
		tx.Append(0, coherence.Insert, nil, []coherence.Value{{}, {State: coherence.Known, Text: text}}, coherence.AnyColumn)
		tx.Commit(end)
		w.Transaction(tx)
	}
	if w.Queued() != 0 || w.Held() < end-10 {
		t.Errorf("%d bytes still wait, held %s", w.Queued(), w.Held())
	}
	if _, err := w.Drain(t.Context()); !errors.Is(err, errGivenUp) {
		t.Errorf("drain: %v", err)
	}
}

// What is announced anew comes behind all that the writer was handed before it,
// at once, and stays.
func TestAnnouncedAnewBehindWhatWaits(t *testing.T) {
	w, s := newWriter(t)
	w.Transaction(touch(110))
	w.Announce("b")
	if _, err := w.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.Announce("b") // nothing new
	if _, err := w.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.Transaction(touch(120))
	if _, err := w.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := ""
	for after := uint64(41); ; {
		entries, err := s.Read(t.Context(), after, 0)
		if err != nil {
			t.Fatal(err)
		}
		if len(entries) == 0 {
			break
		}
		for i := range entries {
			e, err := entries[i].Entry()
			if err != nil {
				t.Fatal(err)
			}
			got += fmt.Sprintf("%s with %d", e.Applied, e.Count)
			if e.Announced != nil {
				got += " announces " + e.Announced.Fingerprint
			}
			got += "; "
			after = entries[i].Seq
		}
	}
	if want := "0/6E with 1; 0/6E with 0 announces b; 0/78 with 1; "; got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

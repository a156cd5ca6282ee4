package cdc

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"walpurge/internal/coherence"
	"walpurge/internal/testbed"
)

// newWriter makes the writer of a term, without a database, that has written
// its first entry.
func newWriter(t *testing.T) (*relayWriter, *stream) {
	t.Helper()
	guard, err := coherence.New(coherence.Config{Tables: codecTables})
	if err != nil {
		t.Fatal(err)
	}
	guard.Reset(1, 100)
	relay := &Relay{Client: relayClient(t, testbed.SharedRedis(t)), Namespace: fmt.Sprint("test-", t.Name(), time.Now().UnixNano())}
	l := NewListener(Config{Slot: "s", Publication: "p", Now: clock(), Relay: relay}, &Catalogue{Tables: codecTables}, guard, nil)
	w := &relayWriter{f: l.follower, wake: make(chan struct{}, 1), nonce: 1, announced: &announcement{tables: codecTables, origin: l.follower.origin()}}
	w.at = streamEnd{seq: 40, epoch: 1, applied: 100, watermark: 100}
	e := &entry{flags: keyframe | begins, epoch: 1, from: 100, applied: 100, watermark: 100, announced: w.announced, nonce: 1, reason: "start"}
	if err := w.add(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	w.mu.applied, w.mu.last = 100, 100
	return w, &l.follower.stream
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
func ends(t *testing.T, s *stream) (list []coherence.LSN) {
	t.Helper()
	found, err := s.read(t.Context(), 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	m := newMapping(codecTables, codecTables)
	var before *entry
	for i, f := range found {
		e, err := decodeEntry(f.blob)
		if err != nil {
			t.Fatal(err)
		}
		if before != nil && (e.from != before.applied || e.prev != checksum(found[i-1].blob) || f.seq != found[i-1].seq+1) {
			t.Errorf("entry %d from %s follows %d up to %s", f.seq, e.from, found[i-1].seq, before.applied)
		}
		before = e
		c := cursor{rest: e.transactions}
		tx := coherence.NewTransaction(codecTables, 10)
		for range e.count {
			if err := readTransaction(&c, m, tx); err != nil {
				t.Fatal(err)
			}
			list = append(list, tx.End)
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
	w.transaction(touch(200))
	if _, err := w.drain(ended); !errors.Is(err, context.Canceled) {
		t.Fatalf("written without a connection: %v", err)
	}
	w.transaction(touch(300))
	w.leave(t.Context(), nil)
	if got := ends(t, s); len(got) != 2 || got[0] != 200 || got[1] != 300 {
		t.Errorf("the stream has the transactions that end at %v", got)
	}
}

// TestAcknowledgedIsConfirmed: what may be forgotten is in the stream (R5), and
// what comes again is not written again.
func TestAcknowledgedIsConfirmed(t *testing.T) {
	w, s := newWriter(t)
	for _, end := range []coherence.LSN{200, 150, 200, 300} {
		w.transaction(touch(end))
	}
	w.moved(350)
	if w.held() != 100 {
		t.Errorf("held %s before anything was written", w.held())
	}
	if _, err := w.drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if w.held() != 350 {
		t.Errorf("held %s after everything was written", w.held())
	}
	if got := ends(t, s); len(got) != 2 || got[0] != 200 || got[1] != 300 {
		t.Errorf("the stream has the transactions that end at %v", got)
	}
}

// TestLostEntryIsNoticed: Redis doesn't have the entry before.
func TestLostEntryIsNoticed(t *testing.T) {
	for name, write := range map[string]func(*relayWriter) error{
		"by the next entry": func(w *relayWriter) error {
			w.transaction(touch(200))
			_, err := w.drain(t.Context())
			return err
		},
		"by looking": func(w *relayWriter) error { return w.check(t.Context()) },
	} {
		w, s := newWriter(t)
		if err := write(w); err != nil {
			t.Errorf("%s: %v though nothing was lost", name, err)
		}
		r := s.streamServer.(redisStream)
		if err := r.client.Del(t.Context(), r.key).Err(); err != nil {
			t.Fatal(err)
		}
		w.transaction(touch(300))
		var doubted *doubt
		if err := write(w); !errors.As(err, &doubted) || doubted.reason != "redis" {
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
		if w.queued() > relayBytes || end > 10_000 {
			t.Fatalf("%d bytes wait", w.queued())
		}
		tx := coherence.NewTransaction(codecTables, 10)
		tx.Begin(1, end-5, time.UnixMicro(0))
		tx.Append(0, coherence.Insert, nil, []coherence.Value{{}, {State: coherence.Known, Text: text}}, coherence.AnyColumn)
		tx.Commit(end)
		w.transaction(tx)
	}
	if w.queued() != 0 || w.held() < end-10 {
		t.Errorf("%d bytes still wait, held %s", w.queued(), w.held())
	}
	if _, err := w.drain(t.Context()); !errors.Is(err, errGivenUp) {
		t.Errorf("drain: %v", err)
	}
}

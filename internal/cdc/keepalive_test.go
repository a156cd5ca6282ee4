package cdc

import (
	"testing"

	"walpurge/internal/cdc/pgoutput"
	"walpurge/internal/cdc/pgoutput/pgoutputtest"
	"walpurge/internal/cdc/primary"
	"walpurge/internal/coherence"
)

// schemaOfA has one table, public.a(id, note, price) with the key id.
func schemaOfA() *pgoutput.Schema {
	full := map[string]bool{"id": true, "note": true, "price": true}
	return &pgoutput.Schema{
		Relations: []pgoutput.Relation{{
			Name: "public.a", Replident: 'f', Old: pgoutput.Identity{Full: true, Key: full},
			Columns: []pgoutput.Column{{Name: "id", Type: 23}, {Name: "note", Type: 23}, {Name: "price", Type: 23}},
			Watched: []pgoutput.WatchedColumn{{Name: "id", Wanted: true}, {Name: "price", Wanted: true}},
		}},
		ByOID: map[uint32]coherence.TableID{1: 0}, ByName: map[string]coherence.TableID{"public.a": 0},
		Partitions: map[uint32]coherence.TableID{}, Others: map[uint32]bool{9: true},
	}
}

func TestKeepaliveInsideATransactionSaysNothing(t *testing.T) {
	guard, err := coherence.New(coherence.Config{Tables: []coherence.Table{{Name: "public.a"}}})
	if err != nil {
		t.Fatal(err)
	}
	guard.Reset(1, 100)
	s := &receiver{shared: &shared{guard: guard, observer: deaf{}}, pace: &primary.Pace{}, decoder: pgoutput.NewDecoder(schemaOfA(), guard.Tables(), 10)}
	s.progress = &progress{shared: s.shared, pending: &visibility{wake: make(chan struct{}, 1)}}
	keepalive := func(at uint64) {
		t.Helper()
		if err := s.frame(append(pgoutputtest.Big64([]byte{'k'}, at, 0), 0)); err != nil {
			t.Fatal(err)
		}
	}
	send := func(msg []byte) {
		t.Helper()
		if err := s.frame(append(pgoutputtest.Big64([]byte{'w'}, 0, 0, 0), msg...)); err != nil {
			t.Fatal(err)
		}
	}
	keepalive(110)
	if got := guard.Applied(); got != 110 {
		t.Errorf("applied %d after a keepalive at 110", got)
	}
	send(pgoutputtest.Begin(120, 7))
	keepalive(130)
	if got := guard.Applied(); got != 110 {
		t.Errorf("applied %d after a keepalive inside a transaction", got)
	}
	send(pgoutputtest.Commit(120, 140))
	if got := guard.Applied(); got != 140 {
		t.Errorf("applied %d after a commit that ends at 140", got)
	}
	for _, frame := range [][]byte{nil, {'x'}, {'w'}, {'k', 1}, append(pgoutputtest.Big64([]byte{'k'}, 1, 2, 3), 0)} {
		if s.frame(frame) == nil {
			t.Errorf("the frame %q is accepted", frame)
		}
	}
}

// A keepalive between two pieces is a position like any other; one inside a
// piece is not. Nothing is fenced before the commit, and then with its end.
func TestKeepaliveWhileAStreamIsOpen(t *testing.T) {
	guard, err := coherence.New(coherence.Config{Tables: pgoutputtest.Tables()})
	if err != nil {
		t.Fatal(err)
	}
	guard.Reset(1, 100)
	s := &receiver{shared: &shared{guard: guard, observer: deaf{}}, pace: &primary.Pace{}, decoder: pgoutput.NewDecoder(schemaOfA(), guard.Tables(), 10)}
	s.progress = &progress{shared: s.shared, pending: &visibility{wake: make(chan struct{}, 1)}}
	frame := func(data []byte) {
		t.Helper()
		if err := s.frame(data); err != nil {
			t.Fatal(err)
		}
	}
	send := func(msgs ...[]byte) {
		t.Helper()
		for _, msg := range msgs {
			frame(append(pgoutputtest.Big64([]byte{'w'}, 0, 0, 0), msg...))
		}
	}
	keepalive := func(at uint64, want coherence.LSN) {
		t.Helper()
		frame(append(pgoutputtest.Big64([]byte{'k'}, at, 0), 0))
		if got := guard.Applied(); got != want {
			t.Errorf("applied %d after a keepalive at %d, want %d", got, at, want)
		}
	}
	p := &cachedPage{causes: make(chan coherence.Cause, 1)}
	store := func() {
		t.Helper()
		if !guard.Open(&p.handle, p, guard.Bind(&coherence.Template{Table: 0}, nil, nil)) || !guard.Admit(&p.handle, p) {
			t.Fatal("the page is not admitted")
		}
	}
	store()
	send(pgoutputtest.StreamStart(7, 1), pgoutputtest.InPiece(7, pgoutputtest.DescribeA))
	keepalive(110, 100)
	send(pgoutputtest.InPiece(7, pgoutputtest.InsertA(1)), pgoutputtest.StreamStop())
	keepalive(120, 120)
	if guard.Watermark() != 120 || !p.handle.Live() || s.open.Load() != 1 {
		t.Errorf("while it is open: watermark %s, page live %t, %d open", guard.Watermark(), p.handle.Live(), s.open.Load())
	}
	send(pgoutputtest.StreamAbort(7, 7))
	if !p.handle.Live() || guard.Pending() != 0 || guard.Applied() != 120 {
		t.Error("a transaction that was rolled back has purged")
	}
	send(pgoutputtest.StreamStart(8, 1), pgoutputtest.InPiece(8, pgoutputtest.DescribeA), pgoutputtest.InPiece(8, pgoutputtest.InsertA(1)), pgoutputtest.StreamStop(), pgoutputtest.StreamCommit(8, 130, 140))
	if p.handle.Live() || guard.Applied() != 140 || guard.Watermark() != 130 || guard.Pending() != 1 || s.open.Load() != 0 {
		t.Errorf("after the commit: page live %t, applied %s, watermark %s", p.handle.Live(), guard.Applied(), guard.Watermark())
	}
	// R1: asof below the end of the commit is too old, and the end is not.
	deps := guard.Bind(&coherence.Template{Table: 0}, nil, nil)
	for asof, usable := range map[coherence.LSN]bool{120: false, 130: false, 139: false, 140: true} {
		var h coherence.Handle
		if got := guard.OpenStored(&h, p, deps, 1, asof); got != usable {
			t.Errorf("usable with asof %d: %t", asof, got)
		}
		guard.Close(&h)
	}
}

package cdc

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"walpurge/internal/cdc/pgoutput"
	"walpurge/internal/cdc/pgoutput/pgoutputtest"
	"walpurge/internal/coherence"
)

// pesterer is a walsender whose server shuts down: it answers each status
// with a keepalive that wants another, for as long as something isn't
// confirmed.
func pesterer(t *testing.T) *pgconn.PgConn {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		b := pgproto3.NewBackend(conn, conn)
		for {
			if _, err := b.Receive(); err != nil {
				return
			}
			b.Send(&pgproto3.CopyData{Data: append(pgoutputtest.Big64([]byte{'k'}, 1, 0), 1)})
			if b.Flush() != nil {
				return
			}
		}
	}()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	config, err := pgconn.ParseConfig("postgres://127.0.0.1/x")
	if err != nil {
		t.Fatal(err)
	}
	pg, err := pgconn.Construct(&pgconn.HijackedConn{Conn: conn, Frontend: pgproto3.NewFrontend(conn, conn), TxStatus: 'I', Config: config})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return pg
}

// TestReceiveEndsWhileTheServerAsks: each answer sets the deadline of the next
// read. It must not take the place of the one that ends the reading.
func TestReceiveEndsWhileTheServerAsks(t *testing.T) {
	guard, err := coherence.New(coherence.Config{Tables: []coherence.Table{{Name: "public.rooms", Columns: []coherence.Column{{Name: "id"}}}}})
	if err != nil {
		t.Fatal(err)
	}
	guard.Reset(1, 1)
	for range 20 {
		s := &receiver{shared: &shared{guard: guard}, replication: pesterer(t), decoder: &pgoutput.Decoder{}, interval: time.Hour}
		s.progress = &progress{shared: s.shared}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.receive(ctx) }()
		eventually(t, "a status", func() bool { return guard.Applied() >= 1 })
		cancel()
		select {
		case err := <-ended:
			if !errors.Is(err, context.Canceled) {
				t.Fatalf("receive: %v", err)
			}
		case <-time.After(patience):
			t.Fatal("receive goes on though its context has ended")
		}
	}
}

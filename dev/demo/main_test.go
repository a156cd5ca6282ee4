package main

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"walpurge/dev/testbed"
	"walpurge/internal/origin"
)

func TestMain(m *testing.M) {
	if log := os.Getenv(childLog); log != "" {
		startAndWait(log)
		return
	}
	testbed.Main(m)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eventually waits until condition holds, for at most 20 seconds.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not within 20s: %s", what)
		}
	}
}

// listings is a filled database with the listings service before it.
func listings(t *testing.T) (databaseURL, service string) {
	t.Helper()
	databaseURL = testbed.Database(t)
	conn := connect(t, databaseURL)
	_, _, err := origin.Migrate(t.Context(), conn)
	must(t, err)
	_, err = origin.Seed(t.Context(), conn, origin.SeedOptions{Listings: 2000})
	must(t, err)
	store, err := origin.Open(t.Context(), databaseURL)
	must(t, err)
	t.Cleanup(store.Close)
	handler, err := origin.Handler(store, slog.New(slog.DiscardHandler))
	must(t, err)
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return databaseURL, server.URL
}

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	must(t, err)
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// handle serves a handler for the length of a test.
func handle(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}

// environment is a lookup function over pairs of name and value.
func environment(pairs ...string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1], true
			}
		}
		return "", false
	}
}

package cdc

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"walpurge/internal/cdc/catalogue"
	"walpurge/internal/cdc/primary"
	"walpurge/internal/coherence"
	"walpurge/internal/relay"
)

// TestFailedConnectionsAreToldInOneLine: that of a session and those beside
// the stream, of which the driver lists each attempt in a line of its own. The
// relay's names the setting of its URL, and none has a password.
func TestFailedConnectionsAreToldInOneLine(t *testing.T) {
	const nobody = "someone:secret@127.0.0.1:1"
	client, err := relay.NewClient("redis://" + nobody)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	guard, err := coherence.New(coherence.Config{Tables: modelTables, FenceBits: 6})
	if err != nil {
		t.Fatal(err)
	}
	var book logbook
	l := NewListener(Config{
		Scope:  catalogue.Scope{URL: "postgres://" + nobody + "/d", Slot: "s", Publication: "p", Logger: book.logger()},
		MaxLag: time.Second, Now: clock(), Relay: &relay.Config{Client: client, Setting: "redis.url"},
	}, &catalogue.Catalogue{Tables: modelTables}, guard, nil)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- l.Run(ctx) }()
	side := l.beside(primary.Server{})
	_, beside := side.FlushPosition(ctx)
	l.trouble("freshness", beside)
	if !strings.Contains(beside.Error(), "\n") {
		t.Errorf("the driver says it in one line, so nothing is shown: %v", beside)
	}
	for _, words := range []string{`not following the database's log" error=`, "for=freshness error=", "for=relay error="} {
		eventually(t, "a record with "+words, func() bool { return book.count(words) > 0 })
	}
	eventually(t, "the last error", func() bool { return l.Status().LastError != "" })
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if said := l.Status().LastError; strings.Contains(said, "\n") || strings.Contains(said, "secret") {
		t.Errorf("the status says %q", said)
	}
	for _, unwanted := range []string{`\n`, "secret"} { // a line's end is written so
		if book.count(unwanted) > 0 {
			t.Errorf("%s is logged:\n%s", unwanted, &book.text)
		}
	}
	if relays, named := book.count("for=relay"), book.count(" setting=redis.url\n"); relays != named {
		t.Errorf("%d of %d records name the setting:\n%s", named, relays, &book.text)
	}
}

// TestTroubleIsLoggedOnce: an error beside the stream is logged once, also where
// a session has ended with the same words before.
func TestTroubleIsLoggedOnce(t *testing.T) {
	var book logbook
	h := &shared{log: book.logger()}
	full, gone := errors.New("there is no room"), errors.New("nobody is there")
	for i, step := range []struct {
		ended, trouble error
		logged         int
	}{
		{ended: full, trouble: full, logged: 1},
		{trouble: full, logged: 1},
		{trouble: gone, logged: 2},
		{trouble: gone, logged: 2},
		{ended: gone, trouble: gone, logged: 3},
	} {
		if step.ended != nil {
			h.setState("waiting", step.ended)
		}
		h.trouble("visibility", step.trouble)
		if n := book.count("a connection beside the stream failed"); n != step.logged {
			t.Errorf("step %d: %d lines, want %d", i, n, step.logged)
		}
	}
}

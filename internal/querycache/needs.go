package querycache

import (
	"context"
	"net/http"
	"strings"

	"walpurge/internal/coherence"
)

// needs is how new a request wants its results. The zero value asks for no more
// than a proof of freshness.
type needs struct {
	said     bool
	now      bool // only the database will do
	position coherence.Position
}

type needsKey struct{}

// WithNeeds returns a context with what the request's fields ask for. What can't
// be read, positions that differ, and a client that wants no stored response
// (RFC 9111 section 5.2.1.4) take the database.
func WithNeeds(ctx context.Context, h http.Header) context.Context {
	var n needs
	// A position of no epoch is one that nothing covers.
	for i, text := range h[coherence.NeedsField] {
		p, err := coherence.ParsePosition(text)
		if err != nil || i > 0 {
			p = coherence.Position{}
		}
		n.said, n.position = true, p
	}
	n.now = n.said && n.position.Epoch == 0
	for _, line := range h["Cache-Control"] {
		for d := range strings.SplitSeq(line, ",") {
			switch strings.ToLower(strings.TrimSpace(d)) {
			case "no-cache", "no-store":
				n.now = true
			}
		}
	}
	if n == (needs{}) {
		return ctx
	}
	return context.WithValue(ctx, needsKey{}, n)
}

func needsOf(ctx context.Context) needs {
	n, _ := ctx.Value(needsKey{}).(needs)
	return n
}

// covered tells whether the guard is in the epoch that is named and has applied
// the position.
func (n needs) covered(g *coherence.Guard) bool { return !n.said || g.Covers(n.position) }

// sameEpoch tells whether what was read in epoch e may be used: a position of
// another epoch says nothing about it.
func (n needs) sameEpoch(e coherence.Epoch) bool { return !n.said || e == n.position.Epoch }

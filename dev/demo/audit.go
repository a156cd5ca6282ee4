package main

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// verdict is what an audit of one page came to.
type verdict int

const (
	notHit  verdict = iota // the proxy didn't answer from its cache: nothing to audit
	fresh                  // the hit shows what the origin shows
	stale                  // the hit shows what had been replaced for longer than allowed: proven
	unclear                // they differ, and the page may have changed on the way
)

// evidence is what an audit has seen of a page, in this order. Each answer was received before the next was asked for,
// and hit was asked for at least the allowed lag after before was received.
type evidence struct {
	before answer // from the origin
	hit    answer // from the proxy
	after  answer // from the origin
}

// judge decides whether a hit was stale, that is, whether the page had looked different for longer than lag when
// the hit was asked for.
//
// A hit may be as old as the proxy promises: it may show any state that the page had between (hit.sent - lag) and
// hit.received. A difference to the origin's answer, which is read a moment later, therefore proves nothing by itself.
// What proves it is that the page did not change at all between (hit.sent - lag) and after.received, the window:
// then after shows the only state that the page had in it, and a hit that shows another one is stale. Two things
// together say that it did not change:
//
//   - The demo's own writers didn't: none of their writes that may concern the page overlaps the window (the ledger).
//   - Nobody else did, such as a person who edits a listing on the site: the origin's answer from before the window
//     is the same as the one from after it.
//
// Both are needed. A writer may change a page and change it back between the two answers, and a stranger is not in the
// ledger. What escapes is a stranger who changes a page and changes it back inside the window, for a hit that shows
// the state between; with a lag of a second, nobody does.
//
// The rule counts too few, never too many: a stale hit on a page that changed again inside the window is unclear.
// Such a page is looked at again when the writers have stopped.
func judge(p page, e evidence, lag time.Duration, l *ledger) (verdict, string) {
	switch {
	case !e.hit.hit:
		return notHit, "the proxy asked the origin"
	case e.hit.same(e.after):
		return fresh, "it shows what the origin shows"
	case l.touched(p, e.hit.sent.Add(-lag), e.after.received):
		return unclear, "a writer may have changed it meanwhile"
	case !e.before.same(e.after):
		return unclear, "somebody else has changed it meanwhile"
	}
	return stale, fmt.Sprintf("it had looked different for %s or longer", e.hit.sent.Sub(e.before.received).Round(time.Millisecond))
}

// auditor compares hits with the origin.
type auditor struct {
	client *client
	site   string // the proxy's URL
	origin string // the service's URL
	ledger *ledger
	lag    time.Duration // that is allowed
	all    bool          // every answer is audited, not hits alone
}

// audit looks at one page. It asks the proxy once in advance, so that the page is cached: right after a change, that is
// the fill that is in danger of keeping the old state.
func (a *auditor) audit(ctx context.Context, p page) (verdict, string, error) {
	if _, err := a.client.page(ctx, a.site+p.target); err != nil {
		return notHit, "", err
	}
	var e evidence
	var err error
	if e.before, err = a.client.page(ctx, a.origin+p.target); err != nil {
		return notHit, "", err
	}
	wait := time.NewTimer(time.Until(e.before.received.Add(a.lag)))
	defer wait.Stop()
	select {
	case <-wait.C:
	case <-ctx.Done():
		return notHit, "", ctx.Err()
	}
	if e.hit, err = a.client.page(ctx, a.site+p.target); err != nil {
		return notHit, "", err
	}
	if e.after, err = a.client.page(ctx, a.origin+p.target); err != nil {
		return notHit, "", err
	}
	e.hit.hit = e.hit.hit || a.all
	v, reason := judge(p, e, a.lag, a.ledger)
	if v == stale {
		reason = fmt.Sprintf("stale: GET %s: %s\n  hit:    %s\n  origin: %s", p.target, reason,
			excerpt(e.hit, e.after), excerpt(e.after, e.hit))
	}
	return v, reason, nil
}

// excerpt is the place where a differs from b, in one line.
func excerpt(a, b answer) string {
	at := 0
	for at < min(len(a.body), len(b.body)) && a.body[at] == b.body[at] {
		at++
	}
	const around = 60
	text := string(a.body[max(0, at-around):min(len(a.body), at+around)])
	return fmt.Sprintf("status %d, … %s …", a.status, strings.Join(strings.Fields(strings.ToValidUTF8(text, "")), " "))
}

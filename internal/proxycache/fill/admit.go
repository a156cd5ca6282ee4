package fill

import (
	"walpurge/internal/proxycache/outcome"
	"walpurge/internal/proxycache/store"
	"walpurge/internal/rfc9111"
)

// keepable tells whether the response may be kept for all that is known yet.
func (f *fetch) keepable() bool {
	return f.opened && !f.undeclared && !f.overtaken && !f.doomed.Load() && f.live()
}

// shareable tells whether those who have joined may have the response, too.
func (f *fetch) shareable() bool { return f.reusable && !f.undeclared && !f.overtaken }

// stored is the key without variant under which the response is stored.
func (f *fetch) stored() string {
	if f.alias != "" {
		return f.alias
	}
	return f.Order.Primary
}

func (f *fetch) live() bool { return !f.guarded() || f.Entry.Handle.Live() }

// whyDead names why a response may not be kept.
func (f *fetch) whyDead() outcome.Reason {
	c := f.cause.Load()
	switch {
	case f.doomed.Load():
		return outcome.Invalidated
	case f.undeclared:
		return outcome.Undeclared
	case !f.opened:
		return outcome.Pending
	case c != nil && c.Reason == "epoch":
		return outcome.NewEpoch
	}
	return outcome.Changed
}

// keep admits the entry and puts it into the tiers (R3, C2).
func (f *fetch) keep() outcome.Reason {
	t, e := f.fills, f.Entry
	if f.doomed.Load() {
		f.closeHandle()
		t.discarded(outcome.Invalidated)
		return outcome.Invalidated
	}
	if f.over() {
		f.closeHandle()
		t.discarded(outcome.OriginSlow)
		return outcome.OriginSlow
	}
	if f.undeclared {
		f.closeHandle()
		t.Memo.add(f.Order.Key, t.now()) // so that nobody waits for the next one
		t.discarded(outcome.Undeclared)
		return outcome.Undeclared
	}
	if f.givesWay(int(e.Status)) { // to what has been stored while the body came
		f.closeHandle()
		t.discarded(rfc9111.StatusCode)
		return rfc9111.StatusCode
	}
	if e.Guarded && !t.guard.Admit(&e.Handle, e) {
		reason := f.whyDead()
		t.discarded(reason)
		return reason
	}
	if !t.store(f.stored(), e) {
		reason := outcome.Changed
		if rfc9111.Fails(int(e.Status)) { // a page came first
			reason = rfc9111.StatusCode
		}
		t.discarded(reason)
		return reason
	}
	switch {
	case f.Order.Content != nil:
		f.listQuestion()
	case f.alias != "":
		t.memory.Take(f.Order.Primary)
	}
	if e.Portable() && e.Common() && f.alias == "" { // it has no room for what the head doesn't say
		t.redis.Write(f.Order.Primary, e, t.now())
	}
	return outcome.NoReason
}

// forget takes one response out of the tiers.
func (t *Fills) forget(e *store.Entry) {
	t.memory.RemoveEntry(e)
	t.redis.Remove(e.Key())
}

// Invalidate ends what is stored for a target.
func (t *Fills) Invalidate(key string) {
	t.Flights.doom(key)
	for _, other := range t.memory.SearchKeys(key) {
		t.memory.Remove(other)
	}
	t.memory.Remove(key)
	t.redis.Remove(key)
}

// store puts an admitted entry into the memory tier, behind a marker if the
// response varies.
func (t *Fills) store(primary string, e *store.Entry) bool {
	if e.Key() != primary {
		v := t.memory.Marker(primary, rfc9111.VaryNames(e.Header()))
		if evict := v.Add(e.Key()); evict != "" {
			t.memory.Remove(evict)
		}
	}
	return t.memory.Put(e)
}

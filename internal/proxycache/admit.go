package proxycache

import (
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
	return f.order.primary
}

func (f *fetch) live() bool { return !f.guarded() || f.entry.Handle.Live() }

// whyDead names why a response may not be kept.
func (f *fetch) whyDead() Reason {
	c := f.cause.Load()
	switch {
	case f.doomed.Load():
		return Invalidated
	case f.undeclared:
		return Undeclared
	case !f.opened:
		return Pending
	case c != nil && c.Reason == "epoch":
		return NewEpoch
	}
	return Changed
}

// keep admits the entry and puts it into the tiers (R3, C2).
func (f *fetch) keep() Reason {
	t, e := f.fills, f.entry
	if f.doomed.Load() {
		f.closeHandle()
		t.discarded(Invalidated)
		return Invalidated
	}
	if f.over() {
		f.closeHandle()
		t.discarded(OriginSlow)
		return OriginSlow
	}
	if f.undeclared {
		f.closeHandle()
		t.memo.add(f.order.key, t.now()) // so that nobody waits for the next one
		t.discarded(Undeclared)
		return Undeclared
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
		reason := Changed
		if rfc9111.Fails(int(e.Status)) { // a page came first
			reason = rfc9111.StatusCode
		}
		t.discarded(reason)
		return reason
	}
	switch {
	case f.order.content != nil:
		f.listQuestion()
	case f.alias != "":
		t.memory.Take(f.order.primary)
	}
	if e.Portable() && e.Common() && f.alias == "" { // it has no room for what the head doesn't say
		t.redis.Write(f.order.primary, e, t.now())
	}
	return NoReason
}

// forget takes one response out of the tiers.
func (t *fills) forget(e *store.Entry) {
	t.memory.RemoveEntry(e)
	t.redis.Remove(e.Key())
}

// invalidate ends what is stored for a target.
func (t *fills) invalidate(key string) {
	t.flights.doom(key)
	for _, other := range t.memory.SearchKeys(key) {
		t.memory.Remove(other)
	}
	t.memory.Remove(key)
	t.redis.Remove(key)
}

// store puts an admitted entry into the memory tier, behind a marker if the
// response varies.
func (t *fills) store(primary string, e *store.Entry) bool {
	if e.Key() != primary {
		v := t.memory.Marker(primary, rfc9111.VaryNames(e.Header()))
		if evict := v.Add(e.Key()); evict != "" {
			t.memory.Remove(evict)
		}
	}
	return t.memory.Put(e)
}

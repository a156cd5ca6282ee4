package proxycache

import (
	"walpurge/internal/rfc9111"
)

// keepable tells whether the response may be kept for all that is known yet.
func (f *flight) keepable() bool {
	return f.opened && !f.undeclared && !f.overtaken && !f.doomed.Load() && f.live()
}

// shareable tells whether those who have joined may have the response, too.
func (f *flight) shareable() bool { return f.reusable && !f.undeclared && !f.overtaken }

// stored is the key without variant under which the response is stored.
func (f *flight) stored() string {
	if f.alias != "" {
		return f.alias
	}
	return f.primary
}

func (f *flight) live() bool { return !f.guarded() || f.entry.handle.Live() }

// whyDead names why a response may not be kept.
func (f *flight) whyDead() Reason {
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
func (f *flight) keep() Reason {
	p, e := f.proxy, f.entry
	if f.doomed.Load() {
		f.closeHandle()
		p.discarded(Invalidated)
		return Invalidated
	}
	if f.over() {
		f.closeHandle()
		p.discarded(OriginSlow)
		return OriginSlow
	}
	if f.undeclared {
		f.closeHandle()
		p.memo.add(f.key, p.opt.Now()) // so that nobody waits for the next one
		p.discarded(Undeclared)
		return Undeclared
	}
	if f.givesWay(int(e.status)) { // to what has been stored while the body came
		f.closeHandle()
		p.discarded(rfc9111.StatusCode)
		return rfc9111.StatusCode
	}
	if e.guarded && !p.opt.Guard.Admit(&e.handle, e) {
		reason := f.whyDead()
		p.discarded(reason)
		return reason
	}
	if !p.store(f.stored(), e) {
		reason := Changed
		if rfc9111.Fails(int(e.status)) { // a page came first
			reason = rfc9111.StatusCode
		}
		p.discarded(reason)
		return reason
	}
	switch {
	case f.content != nil:
		f.listQuestion()
	case f.alias != "":
		p.memory.take(f.primary)
	}
	if p.redis != nil && e.portable() && e.common() && f.alias == "" { // it has no room for what the head doesn't say
		p.redis.write(f.primary, e, p.opt.Now())
	}
	return NoReason
}

// forget takes one response out of the tiers.
func (p *Proxy) forget(e *entry) {
	p.memory.removeEntry(e)
	if p.redis != nil {
		p.redis.remove(e.key())
	}
}

// store puts an admitted entry into the memory tier, behind a marker if the
// response varies.
func (p *Proxy) store(primary string, e *entry) bool {
	if e.key() != primary {
		v := p.memory.marker(primary, rfc9111.VaryNames(e.header()))
		if evict := v.add(e.key()); evict != "" {
			p.memory.remove(evict)
		}
	}
	return p.memory.put(e)
}

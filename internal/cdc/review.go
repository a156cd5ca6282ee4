package cdc

// review decides whether the primary's position proves freshness here.
// REQUIRES: f.mu held.
func (f *follower) review() {
	m := &f.mu
	covered := m.known && f.covered()
	proving := covered && !m.leading && !m.attempt && m.doubt == "" && m.Watermark >= m.floor
	if m.known && !covered && !m.leading {
		f.sayUncovered()
	}
	if proving == m.proving {
		return
	}
	m.proving = proving
	m.term++
	if !proving && !m.leading {
		f.guard.Unprove()
	}
	f.wake()
}

// covered tells whether the leader watches everything that is watched here.
// REQUIRES: f.mu held and known.
func (f *follower) covered() bool {
	return f.mu.mapping.Covers() && f.mu.announced.Origin == f.origin()
}

// sayUncovered says once why nothing is served. REQUIRES: f.mu held.
func (f *follower) sayUncovered() {
	said := "the process that leads doesn't watch " + f.mu.mapping.Missing() +
		": give every proxy of the slot this configuration, or stop those that have another"
	if f.mu.announced.Origin != f.origin() {
		said = "the relay is that of another slot or publication: give each its own redis.namespace"
	}
	if said != f.mu.said {
		f.mu.said = said
		f.log.Error("nothing is served from the cache", "error", said, "slot", f.cfg.Slot)
	}
}

// suspect notes that the history ends here.
func (f *follower) suspect(reason string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.doubt, f.mu.doubtedAt = reason, f.mu.Seq
	f.review()
}

package cdc

import (
	"context"
	"errors"
	"slices"
	"time"

	"walpurge/internal/cdc/catalogue"
	"walpurge/internal/cdc/primary"
	"walpurge/internal/cdc/proof"
	"walpurge/internal/coherence"
)

// followerSight is what a follower knows of the catalogue in one term: whether
// it is the one that the leader goes by.
type followerSight struct {
	*follower
	version int
	glance  catalogue.Glance
	proven  coherence.Nanos // when it was last asked and found to be so
	asked   time.Time       // when it was last asked; zero: ask at once
	with    *catalogue.Look // what the leader went by
	sum     string          // when the quick look that was like it was taken
	since   time.Time       // since when it isn't; zero: it is
}

// position is [prober.position] on a follower.
func (s *followerSight) position(ctx context.Context, side *primary.Conn, waited bool, asked coherence.Nanos) (coherence.LSN, coherence.Nanos, error) {
	s.mu.Lock()
	accepted, watches, tables := s.mu.accepted, slices.Clone(s.cfg.Watches), s.guard.Tables()
	s.mu.Unlock()
	if accepted == nil || !waited && !s.asked.IsZero() && s.with == accepted && time.Since(s.asked) < proof.FollowerLookInterval(s.maxLag()) {
		lsn, err := side.FlushPosition(ctx)
		if accepted != nil {
			asked = min(asked, s.proven)
		}
		return lsn, asked, err
	}
	if s.version == 0 {
		version, err := side.Version(ctx)
		if err != nil {
			return 0, 0, err
		}
		s.version = version
	}
	began := time.Now()
	lsn, sum, err := s.glance.Probe(ctx, side, s.version, s.cfg.Publication, watches)
	if err != nil {
		return 0, 0, err
	}
	s.asked = time.Time{}
	holds := s.with == accepted && s.sum == sum
	if !holds {
		if holds, err = s.compare(ctx, side, accepted, watches, tables, sum); err != nil {
			return 0, 0, err
		}
	}
	if holds {
		s.asked, s.proven, s.since = began, asked, time.Time{}
	}
	return lsn, s.proven, nil
}

// compare tells whether the catalogue is as the leader says.
func (s *followerSight) compare(ctx context.Context, side *primary.Conn, accepted *catalogue.Look, watches []catalogue.Watch, tables []coherence.Table, sum string) (bool, error) {
	now, err := catalogue.LookBeside(ctx, side, s.version, s.cfg.Publication, watches)
	if err != nil {
		return false, err
	}
	if accepted.Same(now, tables) {
		s.with, s.sum = accepted, now.Quick
		return now.Quick == sum, nil
	}
	switch {
	case s.since.IsZero():
		s.since = time.Now()
	case time.Since(s.since) > steady:
		return false, errors.New("the catalogue is not as the process that leads has found it: nothing is served from the cache until both agree")
	}
	return false, nil
}

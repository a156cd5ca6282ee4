package sidecar

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"walpurge/config"
	"walpurge/internal/cdc"
	"walpurge/internal/coherence"
)

// reloadTimeout bounds a reload: the database is asked, and its stream may
// have to be taken up again.
const reloadTimeout = time.Minute

// reloads takes over the routes of the file each time somebody asks.
func (s *sidecar) reloads(ctx context.Context, asked <-chan os.Signal) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-asked:
		}
		s.log.Info("reading the configuration again", "file", s.file)
		if err := s.reload(ctx); err != nil && ctx.Err() == nil {
			s.log.Error("nothing was changed: the configuration can't be taken over", "error", err)
		}
	}
}

// reload takes over the routes of the file, all or nothing. What is declared
// as before keeps what it has stored.
func (s *sidecar) reload(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, reloadTimeout)
	defer cancel()
	next, err := config.Load(s.file, os.LookupEnv)
	if err != nil {
		return err
	}
	var tables []coherence.Table
	var more *cdc.Config
	needed := database(next, nil, nil)
	switch {
	case s.guard != nil:
		tables = s.guard.Tables()
		if more = wider(s.database, needed); more != nil {
			catalogue, err := cdc.Inspect(ctx, *more)
			if err != nil {
				return placed(next, err)
			}
			tables = catalogue.Tables
		}
	case needed != nil:
		return errors.New("routes depend on tables and no database is followed yet; restart the proxy")
	}
	declared, err := routes(next, tables)
	if err != nil {
		return err
	}
	adopt, err := s.proxy.Prepare(declared)
	if err != nil {
		return err
	}
	// From here on nothing but the database can fail.
	if more != nil {
		if err := s.listener.Rewatch(ctx, more.Watches, tables); err != nil {
			return fmt.Errorf("watch more of the database: %w", err)
		}
		s.database = more
	}
	if s.guard != nil {
		for _, r := range declared {
			for i := range r.Depends {
				s.guard.Use(&r.Depends[i].Template)
			}
		}
		s.listener.SetMaxLag(shortestLag(next))
	}
	done := adopt()
	if keys := s.config.Differences(next); len(keys) > 0 {
		s.log.Warn("restart the proxy for what can't be changed while it runs", "keys", strings.Join(keys, ", "))
	}
	s.log.Info("took over the routes", "kept", done.Kept, "changed", done.Changed, "added", done.Added, "removed", done.Removed,
		"dropped", done.Dropped, "watches_more", more != nil)
	return nil
}

// wider is now with all that needed watches beside it, or nil if that is
// nothing more. What is watched already keeps its place; what is needed no more
// stays until the next start.
func wider(now, needed *cdc.Config) *cdc.Config {
	if needed == nil {
		return nil
	}
	more, grown := *now, false
	more.Watches = slices.Clone(now.Watches)
	add := func(list *[]string, words []string) {
		*list = slices.Clone(*list)
		for _, w := range words {
			if !slices.Contains(*list, w) {
				*list, grown = append(*list, w), true
			}
		}
	}
	for _, w := range needed.Watches {
		i := slices.IndexFunc(more.Watches, func(have cdc.Watch) bool { return have.Table == w.Table })
		if i < 0 {
			more.Watches, grown = append(more.Watches, w), true
			continue
		}
		add(&more.Watches[i].Columns, w.Columns)
		add(&more.Watches[i].Conditions, w.Conditions)
		add(&more.Watches[i].Folded, w.Folded)
	}
	if !grown {
		return nil
	}
	return &more
}

// rotates has the access log opened again each time somebody asks.
func (s *sidecar) rotates(ctx context.Context, asked <-chan os.Signal) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-asked:
			if s.access != nil {
				s.access.Reopen()
			}
		}
	}
}

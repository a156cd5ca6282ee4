package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"time"
)

// keySize is the pages' where there are many.
const keySize = 200

// many is how many keys the largest case has.
func (st *stage) many() int {
	if st.short {
		return 20_000
	}
	return 1_000_000
}

// drawn is a plan that asks for keys by their popularity.
func (s *server) drawn(keys []int32, span time.Duration) *plan {
	return s.pages(keySize, span, func(n int) int { return int(keys[n%len(keys)]) })
}

// pages is a plan that asks for the page of the number that id gives.
func (s *server) pages(size int, span time.Duration, id func(n int) int) *plan {
	tail := " HTTP/1.1\r\nHost: " + host + "\r\n\r\n"
	return &plan{
		span: span, status: 200, length: size, mark: []byte(s.mark),
		request: func(dst []byte, n int) []byte {
			return append(strconv.AppendInt(append(dst, "GET /page/"...), int64(id(n)), 10), tail...)
		},
	}
}

// fillPages asks for the pages 1 to n once.
func fillPages(ctx context.Context, s *server, g *generator, n, size int) error {
	p := s.pages(size, 0, func(n int) int { return n + 1 })
	p.count, p.mark = n, nil
	_, err := g.run(ctx, p)
	return err
}

// measureKeys asks for few and for many distinct pages.
func measureKeys(ctx context.Context, st *stage) (*result, error) {
	rounds, span := 3, 1500*time.Millisecond
	if st.short {
		rounds, span = 1, 300*time.Millisecond
	}
	var trials []trial
	for _, n := range []int{10, 10_000} {
		if st.short {
			n = min(n, 1000)
		}
		keys := zipf(n, 1<<20)
		trials = append(trials, trial{
			label: fmt.Sprintf("%s keys", thousands(float64(n))), names: caches, size: keySize, connections: connections,
			fill: func(ctx context.Context, s *server, g *generator) error {
				// Twice: some servers don't store a page while they write others.
				return errors.Join(fillPages(ctx, s, g, n, keySize), fillPages(ctx, s, g, n, keySize))
			},
			plan: func(s *server, _ int, span time.Duration) *plan { return s.drawn(keys, span) },
		})
	}
	found, err := st.try(ctx, trials, rounds, span)
	if err != nil {
		return nil, err
	}
	r := &result{tables: []table{compared("Hits by distinct keys", trials, found,
		fmt.Sprintf("%d B, %d connections, keys drawn by Zipf's law with the exponent 1.1, medians of %d alternating rounds.", keySize, connections, rounds))}}

	n := st.many()
	t := table{
		title: fmt.Sprintf("%s keys", thousands(float64(n))),
		head:  []string{"", "throughput: all keys / 10 keys", "in use, an entry beyond its bytes", "resident, an entry beyond its bytes", "µs a request", "requests/s", "with 10 of the keys", "resident, an entry", "filled in s"},
		notes: []string{fmt.Sprintf("One process holds all %s responses of %d B; loads over all of them and over 10 of them take turns, medians of %d. Resident is what the resident set has grown by, with what Go's collector lets lie until it runs: a quarter of what is in use. "+
			"In use is what Go's collector finds when it is asked to run. "+
			"An entry's bytes are those of its URL, and of its head and body as clients get them, without Age and the like.", thousands(float64(n)), keySize, rounds)},
	}
	for _, name := range []string{guarded, varnish} {
		c, err := st.crowd(ctx, name, n, rounds, span)
		if err != nil {
			return nil, err
		}
		ratio := c.all.rate.median() / c.few.rate.median()
		beyond, live := c.perEntry-c.bytes, ""
		if name == guarded {
			live = fmt.Sprintf("%.0f B", c.live-c.bytes)
			r.goals = append(r.goals,
				goal{what: fmt.Sprintf("throughput of hits: %s keys / 10 keys", thousands(float64(n))), ratio: ratio, limit: 0.75, atLeast: true},
				goal{what: "memory in use, an entry beyond its bytes, in bytes", ratio: c.live - c.bytes, limit: 400})
		}
		t.rows = append(t.rows, []string{
			name, number(ratio), live, fmt.Sprintf("%.0f B", beyond), fmt.Sprintf("%.2f", c.all.cpu.median()), fmt.Sprintf("%.0f", c.all.rate.median()),
			fmt.Sprintf("%.0f", c.few.rate.median()), fmt.Sprintf("%.0f B", c.perEntry), fmt.Sprintf("%.1f", c.filled.Seconds()),
		})
	}
	r.tables = append(r.tables, t)
	return r, nil
}

// crowded is what a server with many entries has shown.
type crowded struct {
	all, few        tried
	perEntry, bytes float64
	live            float64 // of the proxy's heap, an entry; 0: another server's
	filled          time.Duration
}

// crowd fills a server with n pages and asks for all of them and for ten of them in turns.
func (st *stage) crowd(ctx context.Context, name string, n, rounds int, span time.Duration) (*crowded, error) {
	st.origin.resize(keySize)
	defer st.origin.resize(pageSize)
	c := new(crowded)
	all, few := zipf(n, 1<<20), zipf(10, 1<<16)
	err := st.with(ctx, name, connections, func(s *site) { s.Memory = 3 << 10 }, func(s *server, g *generator) error {
		// What a server needs for its connections is there before the first entry.
		if err := fillPages(ctx, s, g, 1000, keySize); err != nil {
			return err
		}
		own, err := ownBytes(s.Listen, "/page/1000")
		if err != nil {
			return err
		}
		c.bytes = float64(own)
		before, err := groupResident(s.Handle.Pid)
		if err != nil {
			return err
		}
		var empty held
		if name == guarded {
			if empty, err = hold(ctx, s.Admin); err != nil {
				return err
			}
		}
		began := time.Now()
		if err := fillPages(ctx, s, g, n, keySize); err != nil {
			return fmt.Errorf("%s: fill the cache: %w", name, err)
		}
		c.filled = time.Since(began)
		after, err := groupResident(s.Handle.Pid)
		if err != nil {
			return err
		}
		if name == guarded {
			full, err := hold(ctx, s.Admin)
			if err != nil {
				return err
			}
			if c.live, err = full.since(empty); err != nil {
				return err
			}
		}
		c.perEntry = float64(after-before) / float64(n-1000)
		st.say("%s: %d entries in %.1f s, %.0f B each", name, n, c.filled.Seconds(), c.perEntry)
		for round := range rounds {
			for _, i := range turns(2, round) {
				keys, into := all, &c.all
				if i == 1 {
					keys, into = few, &c.few
				}
				r, err := st.measure(ctx, s, g, s.drawn(keys, span))
				if err != nil {
					return err
				}
				into.cpu, into.rate = append(into.cpu, r.perRequest()), append(into.rate, r.perSecond())
			}
		}
		return nil
	})
	return c, err
}

var residentLine = regexp.MustCompile(`(?m)^VmRSS:\s*(\d+) kB$`)

// groupResident is how much memory the processes of a group have in all, in bytes.
func groupResident(group int) (int64, error) {
	paths, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, err
	}
	var bytes int64
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // ended meanwhile
		}
		if s, err := parseStat(text); err != nil || s.group != group {
			continue
		}
		status, err := os.ReadFile(filepath.Join(filepath.Dir(path), "status"))
		if err != nil {
			continue
		}
		if match := residentLine.FindSubmatch(status); match != nil {
			kib, err := strconv.ParseInt(string(match[1]), 10, 64)
			if err != nil {
				return 0, err
			}
			bytes += kib << 10
		}
	}
	if bytes == 0 {
		return 0, errors.New("no process of the group " + strconv.Itoa(group) + " says how much memory it has")
	}
	return bytes, nil
}

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// witness is one strategy's part in the comparison.
type witness struct {
	strategy
	server *server
	origin *rowOrigin
	load   *generator

	// Of the goroutine that reads.
	reads, stale   int64
	settled        int64 // stale although the change had been settled
	ages           latencies
	atStart, atEnd int64 // the origin's count
}

func (w *witness) String() string {
	if w.label == "" {
		return w.name
	}
	return w.name + ", " + w.label
}

// shareStale and shareOrigin are the shares of the reads whose answer was stale, and that reached the origin.
func (w *witness) shareStale() float64  { return float64(w.stale) / float64(w.reads) }
func (w *witness) shareOrigin() float64 { return float64(w.atEnd-w.atStart) / float64(w.reads) }

// admit starts a strategy's server with an origin of its own.
func (st *stage) admit(ctx context.Context, w *witness, pool *pgxpool.Pool) (err error) {
	if w.origin, err = newRowOrigin(pool); err != nil {
		return err
	}
	w.server, err = st.launch(w.name, func(s *site) { s.Origin, s.TTL, s.Namespace = w.origin.address, w.ttl, "staleness" })
	if err != nil {
		return err
	}
	err = w.server.await(ctx, "answer", func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+w.server.Listen+page, nil)
		if err != nil {
			return err
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return err
		}
		_ = response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("status %d", response.StatusCode)
		}
		return nil
	})
	if err != nil {
		return err
	}
	w.load, err = newGenerator(ctx, w.server.Listen, 16)
	return err
}

func (w *witness) end() (err error) {
	if w.load != nil {
		err = errors.Join(err, w.load.close())
	}
	if w.server != nil {
		err = errors.Join(err, w.server.end())
	}
	if w.origin != nil {
		err = errors.Join(err, w.origin.close())
	}
	return err
}

// read asks the strategy's server and has the ledger judge what comes.
func (w *witness) read(ctx context.Context, l *ledger, keys []int32, settings staleSettings, counting time.Time) error {
	tail := " HTTP/1.1\r\nHost: " + host + "\r\n\r\n"
	key := func(n int) int { return int(keys[n%len(keys)]) }
	_, err := w.load.run(ctx, &plan{
		rate: settings.reads, span: settings.before + settings.span, status: 200, length: -1, polite: true,
		request: func(dst []byte, n int) []byte {
			return append(strconv.AppendInt(append(dst, "GET /page/"...), int64(key(n)), 10), tail...)
		},
		judge: func(a answer) error {
			id, version, err := parseRow(a.body)
			if err != nil {
				return err
			}
			if id != key(a.n) {
				return fmt.Errorf("asked for row %d, got row %d", key(a.n), id)
			}
			v, err := l.judge(id, version, a.began)
			if err != nil || a.began.Before(counting) {
				return err
			}
			w.reads++
			if v.stale {
				w.stale++
				w.ages = append(w.ages, v.age)
			}
			if v.settled {
				w.settled++
			}
			return nil
		},
	})
	slices.Sort(w.ages)
	return err
}

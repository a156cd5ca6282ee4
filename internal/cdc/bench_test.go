package cdc

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"walpurge/dev/testbed"
	"walpurge/internal/coherence"
)

// BenchmarkDecode decodes an update with its old row, of a table with three
// columns of which two are watched. It must not allocate.
func BenchmarkDecode(b *testing.B) {
	d := testDecoder()
	setup := [][]byte{beginMessage(10, 7), relationMessage(1, "public.a", 'f', "*id", "*note", "*price")}
	for _, msg := range setup {
		if _, err := d.decode(msg); err != nil {
			b.Fatal(err)
		}
	}
	update := row(append(row([]byte{'O'}, "1234", "some words that nobody compares", "99.50"), 'N'), "1234", "some words that nobody compares", "101.50")
	msg := changeMessage('U', 1, update)
	commit, begin := commitMessage(10, 20), beginMessage(10, 7)
	b.ReportAllocs()
	b.SetBytes(int64(len(msg)))
	for i := 0; b.Loop(); i++ {
		if _, err := d.decode(msg); err != nil {
			b.Fatal(err)
		}
		if i%100 == 99 {
			_, _ = d.decode(commit)
			_, _ = d.decode(begin)
		}
	}
}

func TestDecodingARowAllocatesNothing(t *testing.T) {
	result := testing.Benchmark(BenchmarkDecode)
	if n := result.AllocsPerOp(); n != 0 {
		t.Errorf("%d allocations a row", n)
	}
}

// BenchmarkBacklog compares how fast a backlog of single-row updates in
// transactions of a hundred is worked off with how fast pg_recvlogical drains
// the same one to /dev/null.
func BenchmarkBacklog(b *testing.B) {
	const changes, each = 200_000, 100
	p := testbed.NewPostgres(b, map[string]string{"synchronous_commit": "off", "max_wal_size": "4GB", "autovacuum": "off"})
	url := p.URL("postgres")
	c := newClient(b, url)
	c.exec(`CREATE TABLE listings (id int PRIMARY KEY, title text, price int, city text)`, `ALTER TABLE listings REPLICA IDENTITY FULL`,
		`INSERT INTO listings SELECT g, 'a title of some length for listing ' || g, g, 'city ' || g % 100 FROM generate_series(1, 100000) g`)
	columns := []string{"id", "price", "city"}
	cfg := config(b, url, Watch{Table: "public.listings", Columns: columns, Conditions: columns})
	cfg.Slot = "ours"
	if _, err := Setup(b.Context(), cfg, false); err != nil {
		b.Fatal(err)
	}
	c.exec("SELECT pg_create_logical_replication_slot('theirs', 'pgoutput')")
	var theirs, ours time.Duration
	var ratios []float64
	for b.Loop() {
		c.exec(fmt.Sprintf(`CREATE OR REPLACE PROCEDURE work() LANGUAGE plpgsql AS $$ BEGIN FOR t IN 0..%d LOOP FOR i IN 1..%d LOOP
  UPDATE listings SET price = price + 1 WHERE id = 1 + (t * 7919 + i * 31) %% 100000; END LOOP; COMMIT; END LOOP; END $$`, changes/each-1, each))
		c.exec("CALL work()", "SET synchronous_commit = on; SELECT pg_logical_emit_message(true, 'x', 'y')", "CHECKPOINT")
		end := c.text("SELECT pg_current_wal_flush_lsn()")

		t := drain(b, url, end)
		o := catchUp(b, cfg, changes)
		theirs, ours = theirs+t, ours+o
		ratios = append(ratios, t.Seconds()/o.Seconds())
	}
	slices.Sort(ratios)
	rows := float64(len(ratios) * changes)
	b.ReportMetric(ratios[len(ratios)/2], "median-ratio") // above 1: faster than pg_recvlogical
	b.ReportMetric(rows/ours.Seconds(), "changes/s")
	b.ReportMetric(rows/theirs.Seconds(), "pg_recvlogical/s")
}

// drain lets pg_recvlogical read the backlog up to end.
func drain(b *testing.B, url, end string) time.Duration {
	programs, err := filepath.Glob("/usr/lib/postgresql/*/bin/pg_recvlogical")
	if err != nil || len(programs) == 0 {
		b.Fatal("pg_recvlogical is not there")
	}
	began := time.Now()
	out, err := exec.Command(programs[len(programs)-1], "-d", url, "-S", "theirs", "--start", "-n", "-f", "/dev/null", "--endpos", end,
		"-o", "proto_version=1", "-o", "publication_names=walpurge").CombinedOutput()
	if err != nil {
		b.Fatalf("pg_recvlogical: %v: %s", err, out)
	}
	return time.Since(began)
}

// catchUp lets a listener work the backlog off.
func catchUp(b *testing.B, cfg Config, changes int) time.Duration {
	catalogue, err := Inspect(b.Context(), cfg)
	if err != nil {
		b.Fatal(err)
	}
	guard, err := coherence.New(coherence.Config{Tables: catalogue.Tables})
	if err != nil {
		b.Fatal(err)
	}
	done := &counter{want: changes, reached: make(chan struct{})}
	l := NewListener(cfg, catalogue, guard, done)
	ctx, stop := context.WithCancel(b.Context())
	defer stop()
	ended := make(chan error, 1)
	began := time.Now()
	go func() { ended <- l.Run(ctx) }()
	select {
	case <-done.reached:
	case <-time.After(2 * time.Minute):
		b.Fatalf("not worked off: %+v", l.Status())
	}
	took := time.Since(began)
	// Let the end be acknowledged, so that the next round starts there.
	eventually(b, "the backlog is settled", func() bool { return guard.Pending() == 0 })
	stop()
	if err := <-ended; err != nil {
		b.Fatal(err)
	}
	return took
}

// counter is an Observer that counts rows.
type counter struct {
	deaf
	rows, want int
	reached    chan struct{}
}

func (c *counter) Applied(tx *coherence.Transaction, _ *coherence.Purge, _ time.Duration) {
	before := c.rows
	for _, n := range tx.Rows[0] {
		c.rows += n
	}
	if before < c.want && c.rows >= c.want {
		close(c.reached)
	}
}

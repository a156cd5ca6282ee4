package pgoutput

import (
	"testing"

	"walpurge/internal/cdc/pgoutput/pgoutputtest"
)

// BenchmarkDecode decodes an update with its old row, of a table with three
// columns of which two are watched. It must not allocate.
func BenchmarkDecode(b *testing.B) {
	d := testDecoder()
	setup := [][]byte{pgoutputtest.Begin(10, 7), pgoutputtest.Relation(1, "public.a", 'f', "*id", "*note", "*price")}
	for _, msg := range setup {
		if _, err := d.Decode(msg); err != nil {
			b.Fatal(err)
		}
	}
	update := pgoutputtest.Row(append(pgoutputtest.Row([]byte{'O'}, "1234", "some words that nobody compares", "99.50"), 'N'), "1234", "some words that nobody compares", "101.50")
	msg := pgoutputtest.Change('U', 1, update)
	commit, begin := pgoutputtest.Commit(10, 20), pgoutputtest.Begin(10, 7)
	b.ReportAllocs()
	b.SetBytes(int64(len(msg)))
	for i := 0; b.Loop(); i++ {
		if _, err := d.Decode(msg); err != nil {
			b.Fatal(err)
		}
		if i%100 == 99 {
			_, _ = d.Decode(commit)
			_, _ = d.Decode(begin)
		}
	}
}

func TestDecodingARowAllocatesNothing(t *testing.T) {
	result := testing.Benchmark(BenchmarkDecode)
	if n := result.AllocsPerOp(); n != 0 {
		t.Errorf("%d allocations a row", n)
	}
}

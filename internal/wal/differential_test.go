package wal

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"walpurge/internal/coherence"
	"walpurge/internal/testbed"
)

// decoded is what the server's own logical decoding says of a transaction.
type decoded struct {
	start, end coherence.LSN
	at         int64
	rows       map[uint32][coherence.Delete + 1]int // by the table's id
	truncated  []uint32
	messages   []string
}

// workload is random transactions in several sessions at once.
type workload struct {
	*server
	rand.Rand
	sessions []*session
	files    map[File]uint32 // to which table a file has ever belonged
	next     int
}

type session struct {
	conn     *pgx.Conn
	open     bool
	saved    int    // savepoints
	prepared string // the transaction that it has left
	mine     int    // the ids that no other session touches, modulo
}

const workers = 3

// TestCommitsAreThoseOfLogicalDecoding runs random transactions and compares
// what the log's records say with what the server decodes from them.
func TestCommitsAreThoseOfLogicalDecoding(t *testing.T) {
	url := testbed.Database(t)
	for seed := range uint64(3) {
		t.Run(fmt.Sprintf("seed %d", seed+1), func(t *testing.T) { differential(t, url, seed+1) })
	}
}

func differential(t *testing.T, url string, seed uint64) {
	w := &workload{server: newServer(t, url), Rand: *rand.New(rand.NewPCG(seed, 0)), files: make(map[File]uint32)}
	w.exec("DROP SCHEMA public CASCADE", "CREATE SCHEMA public", "CREATE TABLE plain (id int PRIMARY KEY, n int, t text)",
		"CREATE TABLE wide (id int PRIMARY KEY, doc text)", "ALTER TABLE wide REPLICA IDENTITY FULL",
		"CREATE TABLE parts (id int PRIMARY KEY, n int) PARTITION BY RANGE (id)", "CREATE TABLE low PARTITION OF parts FOR VALUES FROM (0) TO (500)",
		"CREATE TABLE bag (id int)", "CREATE TABLE high PARTITION OF parts FOR VALUES FROM (500) TO (100000)",
		"DROP PUBLICATION IF EXISTS everything", "CREATE PUBLICATION everything FOR ALL TABLES",
		"SELECT pg_create_logical_replication_slot('differential', 'pgoutput')")
	defer w.exec("SELECT pg_drop_replication_slot('differential')")
	start := w.lsn("SELECT restart_lsn::text FROM pg_replication_slots WHERE slot_name = 'differential'")
	for i := range workers {
		w.sessions = append(w.sessions, &session{conn: w.connect(), mine: i})
	}
	for range 700 {
		w.step(w.sessions[w.IntN(workers)])
	}
	w.settle()
	data := w.log(start)
	want := w.decode()
	digest := NewDigest(w.layout, w.database, "walpurge")
	found, rows := 0, 0
	if _, err := scanAll(w.layout, start, data, seed, func(r *Record) error {
		c, err := digest.Record(r)
		if err != nil || c == nil {
			return err
		}
		if d := want[c.XID]; d != nil {
			found++
			rows += w.compare(c, d)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if found != len(want) {
		t.Errorf("%d of %d transactions that were decoded are in the log", found, len(want))
	}
	if len(digest.open) > 0 {
		t.Errorf("%d transactions are remembered that have ended", len(digest.open))
	}
	t.Logf("%d transactions with %d rows in %d KiB", found, rows, len(data)>>10)
}

// compare compares a transaction with what was decoded of it.
func (w *workload) compare(c *Commit, d *decoded) (rows int) {
	w.t.Helper()
	if c.Start != d.start || c.End != d.end || c.At != d.at || c.Everything || c.Messaged {
		w.t.Errorf("transaction %d from %s to %s at %d (%t, %t) and not from %s to %s at %d", c.XID, c.Start, c.End, c.At, c.Everything, c.Messaged, d.start, d.end, d.at)
	}
	got := make(map[uint32][coherence.Delete + 1]int)
	for _, f := range c.Files {
		oid, known := w.files[f.File]
		if !known {
			w.t.Errorf("transaction %d writes to file %v of which nobody knows", c.XID, f.File)
		}
		sum := got[oid]
		for op, n := range f.Rows {
			sum[op] += n
		}
		got[oid] = sum
	}
	for oid, ops := range d.rows {
		if got[oid] != ops {
			w.t.Errorf("transaction %d changes %v rows of table %d and not %v", c.XID, got[oid], oid, ops)
		}
		rows += ops[coherence.Insert] + ops[coherence.Update] + ops[coherence.Delete]
	}
	for _, oid := range d.truncated {
		if !slices.Contains(c.Truncated, oid) {
			w.t.Errorf("transaction %d truncates %d and not %d", c.XID, c.Truncated, oid)
		}
	}
	var messages []string
	for _, m := range c.Messages {
		messages = append(messages, string(m))
	}
	slices.Sort(messages) // those of subtransactions come last
	slices.Sort(d.messages)
	if !slices.Equal(messages, d.messages) {
		w.t.Errorf("transaction %d has the messages %q and not %q", c.XID, messages, d.messages)
	}
	return rows
}

// decode asks the server for what has been committed.
func (w *workload) decode() map[uint32]*decoded {
	w.t.Helper()
	rows, err := w.conn.Query(w.t.Context(), `SELECT data FROM pg_logical_slot_get_binary_changes('differential', NULL, NULL,
 'proto_version', '1', 'publication_names', 'everything', 'messages', 'true')`)
	if err != nil {
		w.t.Fatal(err)
	}
	all := make(map[uint32]*decoded)
	var now *decoded
	var b []byte
	if _, err := pgx.ForEachRow(rows, []any{&b}, func() error {
		u32, u64 := func(i int) uint32 { return binary.BigEndian.Uint32(b[i:]) }, func(i int) uint64 { return binary.BigEndian.Uint64(b[i:]) }
		switch b[0] {
		case 'B':
			now = &decoded{start: coherence.LSN(u64(1)), at: int64(u64(9)), rows: make(map[uint32][coherence.Delete + 1]int)}
			all[u32(17)] = now
		case 'C':
			now.end = coherence.LSN(u64(10))
		case 'I', 'U', 'D':
			ops := now.rows[u32(1)]
			ops[map[byte]coherence.Op{'I': coherence.Insert, 'U': coherence.Update, 'D': coherence.Delete}[b[0]]]++
			now.rows[u32(1)] = ops
		case 'T':
			for i := 6; i < len(b); i += 4 {
				now.truncated = append(now.truncated, u32(i))
			}
		case 'M':
			if prefix, content, _ := strings.Cut(string(b[10:]), "\x00"); b[1] == 1 && prefix == "walpurge" {
				now.messages = append(now.messages, content[4:])
			}
		}
		return nil
	}); err != nil {
		w.t.Fatal(err)
	}
	return all
}

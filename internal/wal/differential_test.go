package wal

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"walpurge/dev/testbed"
	"walpurge/internal/coherence"
)

// decoded is what the server's own logical decoding says of a transaction.
type decoded struct {
	Start, End coherence.LSN
	At         int64
	Rows       map[uint32][coherence.Delete + 1]int // by the table's id
	Truncated  []uint32                             `json:",omitempty"`
	Messages   []string                             `json:",omitempty"`
}

// workload is random transactions in several sessions at once.
type workload struct {
	*server
	rand.Rand
	sessions []*session
	files    files
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
	w := &workload{server: newServer(t, url), Rand: *rand.New(rand.NewPCG(seed, 0)), files: make(files)}
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
	want := w.decode("differential")
	digest := NewDigest(w.layout, w.database, "walpurge")
	found, rows := 0, 0
	if _, err := scanAll(w.layout, start, data, seed, func(r *Record) error {
		c, err := digest.Record(r)
		if err != nil || c == nil {
			return err
		}
		if d := want[c.XID]; d != nil {
			found++
			rows += d.compare(t, c, w.files)
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
func (d *decoded) compare(t *testing.T, c *Commit, of files) (rows int) {
	t.Helper()
	if c.Start != d.Start || c.End != d.End || c.At != d.At || c.Everything || c.Messaged {
		t.Errorf("transaction %d from %s to %s at %d (%t, %t) and not from %s to %s at %d", c.XID, c.Start, c.End, c.At, c.Everything, c.Messaged, d.Start, d.End, d.At)
	}
	got := make(map[uint32][coherence.Delete + 1]int)
	for _, f := range c.Files {
		oid, known := of[f.File]
		if !known {
			t.Errorf("transaction %d writes to file %v of which nobody knows", c.XID, f.File)
		}
		sum := got[oid]
		for op, n := range f.Rows {
			sum[op] += n
		}
		got[oid] = sum
	}
	for oid, ops := range d.Rows {
		if got[oid] != ops {
			t.Errorf("transaction %d changes %v rows of table %d and not %v", c.XID, got[oid], oid, ops)
		}
		rows += ops[coherence.Insert] + ops[coherence.Update] + ops[coherence.Delete]
	}
	for _, oid := range d.Truncated {
		if !slices.Contains(c.Truncated, oid) {
			t.Errorf("transaction %d truncates %d and not %d", c.XID, c.Truncated, oid)
		}
	}
	var messages []string
	for _, m := range c.Messages {
		messages = append(messages, string(m))
	}
	slices.Sort(messages) // those of subtransactions come last
	slices.Sort(d.Messages)
	if !slices.Equal(messages, d.Messages) {
		t.Errorf("transaction %d has the messages %q and not %q", c.XID, messages, d.Messages)
	}
	return rows
}

// decode asks the server for what has been committed since the slot was made.
func (s *server) decode(slot string) map[uint32]*decoded {
	s.t.Helper()
	rows, err := s.conn.Query(s.t.Context(), `SELECT data FROM pg_logical_slot_get_binary_changes($1, NULL, NULL,
 'proto_version', '1', 'publication_names', 'everything', 'messages', 'true')`, slot)
	if err != nil {
		s.t.Fatal(err)
	}
	all := make(map[uint32]*decoded)
	var now *decoded
	var b []byte
	if _, err := pgx.ForEachRow(rows, []any{&b}, func() error {
		u32, u64 := func(i int) uint32 { return binary.BigEndian.Uint32(b[i:]) }, func(i int) uint64 { return binary.BigEndian.Uint64(b[i:]) }
		switch b[0] {
		case 'B':
			now = &decoded{Start: coherence.LSN(u64(1)), At: int64(u64(9)), Rows: make(map[uint32][coherence.Delete + 1]int)}
			all[u32(17)] = now
		case 'C':
			now.End = coherence.LSN(u64(10))
		case 'I', 'U', 'D':
			ops := now.Rows[u32(1)]
			ops[map[byte]coherence.Op{'I': coherence.Insert, 'U': coherence.Update, 'D': coherence.Delete}[b[0]]]++
			now.Rows[u32(1)] = ops
		case 'T':
			for i := 6; i < len(b); i += 4 {
				now.Truncated = append(now.Truncated, u32(i))
			}
		case 'M':
			if prefix, content, _ := strings.Cut(string(b[10:]), "\x00"); b[1] == 1 && prefix == "walpurge" {
				now.Messages = append(now.Messages, content[4:])
			}
		}
		return nil
	}); err != nil {
		s.t.Fatal(err)
	}
	return all
}

package wal

import (
	"fmt"
	"regexp"
	"strconv"
	"testing"

	"github.com/jackc/pgx/v5"

	"walpurge/dev/testbed"
	"walpurge/internal/coherence"
)

// everything is statements that write every kind of record that matters, and many
// that don't.
func everything(compression string) []string {
	return []string{
		"SET wal_compression = " + compression,
		"CREATE TABLE plain (id int PRIMARY KEY, t text, n int)", "CREATE TABLE wide (id int PRIMARY KEY, doc text)", "ALTER TABLE wide REPLICA IDENTITY FULL",
		"INSERT INTO plain SELECT g, repeat('x', g % 300), g FROM generate_series(1, 1500) g",
		"COPY plain FROM PROGRAM 'seq -f \"%g\tcopied\t1\" 10001 11500'",
		"CHECKPOINT", // every page is logged as a whole next
		"UPDATE plain SET n = n + 1 WHERE id % 7 = 0", "UPDATE plain SET id = -id WHERE id % 11 = 0", "DELETE FROM plain WHERE id % 13 = 0",
		"INSERT INTO plain SELECT g, 'y', g FROM generate_series(1, 100) g ON CONFLICT DO NOTHING",
		"INSERT INTO wide SELECT g, (SELECT string_agg(md5(g::text || i), '') FROM generate_series(1, 3000) i) FROM generate_series(1, 5) g",
		"UPDATE wide SET id = id + 100", "UPDATE wide SET doc = 'short'",
		"ALTER TABLE wide ALTER doc SET STORAGE EXTERNAL", "INSERT INTO wide VALUES (1, repeat('long', 4300000))",
		"DELETE FROM wide WHERE id = 1", // with the whole old row in one record, which is longer than a segment
		"BEGIN", "SAVEPOINT a", "INSERT INTO plain VALUES (70001, 'a')", "ROLLBACK TO a", "SAVEPOINT b", "INSERT INTO plain VALUES (70002, 'b')", "RELEASE b", "COMMIT",
		"BEGIN", "INSERT INTO plain VALUES (70003, 'c')", "ROLLBACK",
		"SELECT pg_logical_emit_message(true, 'walpurge', 'group')", "SELECT pg_logical_emit_message(false, 'other', repeat('z', 20000))",
		"VACUUM plain", "CREATE INDEX ON plain USING gin (to_tsvector('simple', t))", "CREATE INDEX ON plain USING hash (n)", "CREATE INDEX ON plain USING brin (n)",
		"TRUNCATE plain, wide", "VACUUM FULL plain", "ALTER TABLE plain ADD COLUMN more int DEFAULT 7", "ALTER TABLE plain ALTER n TYPE bigint",
		"SELECT pg_switch_wal()", "INSERT INTO plain SELECT g, repeat('q', 900), g FROM generate_series(1, 2000) g",
		"SELECT pg_switch_wal()", "DROP TABLE plain, wide",
	}
}

// TestRecordsAreThoseThatTheServerLists compares every record with what the
// server's own extension says. PostgreSQL 14 has none: there it is shown that all
// is scanned, and by TestCommitsAreThoseOfLogicalDecoding what it means.
func TestRecordsAreThoseThatTheServerLists(t *testing.T) {
	s := newServer(t, testbed.Database(t))
	for _, compression := range s.compressions() {
		start := s.here()
		s.exec(everything(compression)...)
		data := s.log(start)
		var lines []string
		scanner, err := scanAll(s.layout, start, data, 1, func(r *Record) error {
			line, err := s.layout.line(r)
			lines = append(lines, line)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("wal_compression=%s: %d records in %d KiB", compression, len(lines), len(data)>>10)
		if !s.lists() {
			t.Log("the server has nothing that lists them")
			continue
		}
		same(t, lines, s.list(start, scanner.Position()))
	}
}

// same compares records line by line.
func same(t *testing.T, lines, want []string) {
	t.Helper()
	for i := range min(len(lines), len(want)) {
		if lines[i] != want[i] {
			t.Fatalf("record %d of %d is\n%s and not\n%s", i, len(want), lines[i], want[i])
		}
	}
	if len(lines) != len(want) {
		t.Fatalf("%d records, not %d", len(lines), len(want))
	}
}

// compressions are the values of wal_compression that differ. A server need not
// be built with all of them.
func (s *server) compressions() (values []string) {
	s.t.Helper()
	s.scan(&values, "SELECT CASE vartype WHEN 'bool' THEN '{off,on}' ELSE array_remove(enumvals, 'on') END FROM pg_settings WHERE name = 'wal_compression'")
	return values
}

// line describes a record in the words of list.
func (l *Layout) line(r *Record) (string, error) {
	first, main, err := r.read(l)
	if err != nil {
		return "", fmt.Errorf("%d %#x: %w", r.manager, r.info, err)
	}
	at := span{r.Start, r.End}
	if r.manager == managerLog && r.info == logSwitch { // to the server, what it fills up is part of it
		segment := coherence.LSN(l.segment)
		at.end = (at.end + segment - 1) / segment * segment
	}
	return line(at, r.total, r.xid, len(main), first), nil
}

func line(at span, total int, xid uint32, main int, first block) string {
	text := fmt.Sprintf("%s-%s length %d xid %d", at.start, at.end, total, xid)
	if total <= keptOfMost { // else the end of it may not be kept
		text += fmt.Sprintf(" main %d", main)
	}
	if first.there {
		text += fmt.Sprintf(" file %d/%d/%d %t", first.file.Space, first.database, first.file.Node, first.main)
	}
	return text
}

// lists tells whether the server can list records: pg_walinspect came with PostgreSQL 15.
func (s *server) lists() bool {
	s.t.Helper()
	var version int
	s.scan(&version, "SELECT current_setting('server_version_num')::int")
	return version >= 150000
}

// reference is how pg_walinspect writes the first block reference.
var reference = regexp.MustCompile(`blkref #\d+: rel (\d+)/(\d+)/(\d+) (?:fork (\w+) )?blk`)

// list asks the server for the records from start to end.
func (s *server) list(start, end coherence.LSN) (lines []string) {
	s.t.Helper()
	s.exec("CREATE EXTENSION IF NOT EXISTS pg_walinspect")
	rows, err := s.conn.Query(s.t.Context(), `SELECT start_lsn::text, end_lsn::text, record_length, xid::text, main_data_length, coalesce(block_ref, '')
FROM pg_get_wal_records_info($1::text::pg_lsn, $2::text::pg_lsn)`, start.String(), end.String())
	if err != nil {
		s.t.Fatal(err)
	}
	var texts [2]string
	var total, main int
	var xid, blocks string
	if _, err := pgx.ForEachRow(rows, []any{&texts[0], &texts[1], &total, &xid, &main, &blocks}, func() error {
		var at span
		if at.start, err = coherence.ParseLSN(texts[0]); err != nil {
			return err
		}
		if at.end, err = coherence.ParseLSN(texts[1]); err != nil {
			return err
		}
		number := func(text string) uint32 { n, _ := strconv.ParseUint(text, 10, 32); return uint32(n) }
		var first block
		if f := reference.FindStringSubmatch(blocks); f != nil {
			first = block{there: true, database: number(f[2]), file: File{number(f[1]), number(f[3])}, main: f[4] == "" || f[4] == "main"}
		}
		lines = append(lines, line(at, total, number(xid), main, first))
		return nil
	}); err != nil {
		s.t.Fatal(err)
	}
	return lines
}

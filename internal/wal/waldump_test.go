package wal

import (
	"bufio"
	"bytes"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"walpurge/internal/coherence"
	"walpurge/internal/testbed"
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

// dumped is a line of pg_waldump.
var dumped = regexp.MustCompile(`^rmgr: (\S+)\s+len \(rec/tot\):\s*\d+/\s*(\d+), tx:\s*(\d+), lsn: (\S+), prev \S+, desc: (.*)$`)

var reference = regexp.MustCompile(`blkref #\d+: rel (\d+)/(\d+)/(\d+) (fork \w+ )?blk`)

// TestRecordsAreThoseOfWaldump compares every record with what the server's own
// program says.
func TestRecordsAreThoseOfWaldump(t *testing.T) {
	s := newServer(t, testbed.Database(t))
	for _, compression := range []string{"off", "pglz"} {
		start := s.here()
		s.exec(everything(compression)...)
		data := s.log(start)
		var lines []string
		scanner, err := scanAll(s.layout, start, data, 1, func(r *Record) error {
			first, _, err := r.read(&s.layout)
			if err != nil {
				return fmt.Errorf("%d %#x: %w", r.manager, r.info, err)
			}
			lines = append(lines, line(r.Start, r.total, r.xid, first))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		want, raw := waldump(t, s, start, scanner.Position())
		for i := range min(len(lines), len(want)) {
			if lines[i] != want[i] {
				t.Fatalf("record %d of %d is\n%s and not\n%s: %s", i, len(want), lines[i], want[i], raw[i])
			}
		}
		if len(lines) != len(want) {
			t.Fatalf("%d records, not %d", len(lines), len(want))
		}
		t.Logf("wal_compression=%s: %d records in %d KiB", compression, len(lines), len(data)>>10)
	}
}

func line(start coherence.LSN, total int, xid uint32, first block) string {
	file := ""
	if first.there {
		file = fmt.Sprintf("%d/%d/%d main=%t", first.file.Space, first.database, first.file.Node, first.main)
	}
	return fmt.Sprintf("%s length %d xid %d %s", start, total, xid, file)
}

func waldump(t *testing.T, s *server, start, end coherence.LSN) (lines, raw []string) {
	var dir, programs string
	s.scan(&dir, "SHOW data_directory")
	s.scan(&programs, "SELECT setting FROM pg_config WHERE name = 'BINDIR'")
	out, err := exec.CommandContext(t.Context(), filepath.Join(programs, "pg_waldump"), "-p", filepath.Join(dir, "pg_wal"), "-s", start.String(), "-e", end.String()).Output()
	if err != nil {
		t.Fatalf("pg_waldump: %v", err)
	}
	scan := bufio.NewScanner(bytes.NewReader(out))
	scan.Buffer(nil, 1<<20)
	for scan.Scan() {
		m := dumped.FindStringSubmatch(scan.Text())
		if m == nil {
			t.Fatalf("pg_waldump says %q", scan.Text())
		}
		total, _ := strconv.Atoi(m[2])
		xid, _ := strconv.ParseUint(m[3], 10, 32)
		at, err := coherence.ParseLSN(m[4])
		if err != nil {
			t.Fatal(err)
		}
		var first block
		if f := reference.FindStringSubmatch(m[5]); f != nil {
			number := func(i int) uint32 { n, _ := strconv.ParseUint(f[i], 10, 32); return uint32(n) }
			first = block{there: true, database: number(2), file: File{number(1), number(3)}, main: strings.TrimSpace(f[4]) == "" || strings.Contains(f[4], "main")}
		}
		raw = append(raw, m[5])
		lines = append(lines, line(at, total, uint32(xid), first))
	}
	if err := scan.Err(); err != nil {
		t.Fatal(err)
	}
	return lines, raw
}

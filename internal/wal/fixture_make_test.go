package wal

import (
	"context"
	"flag"
	"fmt"
	"testing"

	"walpurge/dev/testbed"
)

// `make wal-fixtures` sets it, with servers of each version.
var keep = flag.Bool("keep", false, "put the log that TestALogWithEverythingInIt captures into testdata/logs")

// before is what stands when a log begins to be captured.
var before = []string{
	"CREATE TABLE plain (id int PRIMARY KEY, n int, t text)",
	"CREATE TABLE wide (id int PRIMARY KEY, doc text)", "ALTER TABLE wide REPLICA IDENTITY FULL", "ALTER TABLE wide ALTER doc SET STORAGE EXTERNAL",
	"CREATE TABLE parts (id int PRIMARY KEY, n int) PARTITION BY RANGE (id)", "CREATE TABLE low PARTITION OF parts FOR VALUES FROM (0) TO (500)",
	"CREATE TABLE high PARTITION OF parts FOR VALUES FROM (500) TO (1000)",
	"CREATE TABLE bag (id int)", "CREATE TABLE first (id int PRIMARY KEY)", "CREATE TABLE second (id int PRIMARY KEY)", "CREATE TABLE third (id int PRIMARY KEY)",
	"CREATE PUBLICATION everything FOR ALL TABLES", "SELECT pg_create_logical_replication_slot('fixture', 'pgoutput')",
	"SELECT pg_replication_origin_create('elsewhere')", "INSERT INTO first SELECT generate_series(1, 10)",
}

// doing is a statement, and which of the sessions runs it.
type doing struct {
	session   int
	statement string
}

// captured writes records of every kind that matters, a few of each.
var captured = []doing{
	{0, "INSERT INTO plain SELECT g, g, repeat('x', g) FROM generate_series(1, 30) g"},
	{0, "COPY bag FROM PROGRAM 'seq 1 700'"},
	{0, "UPDATE plain SET n = n + 1 WHERE id % 7 = 0"},
	{0, "UPDATE plain SET id = id + 1000 WHERE id % 9 = 0"},
	{0, "DELETE FROM plain WHERE id % 11 = 0"},
	{0, "INSERT INTO plain SELECT g, 0, 'y' FROM generate_series(25, 35) g ON CONFLICT (id) DO UPDATE SET n = excluded.n"},
	{0, "INSERT INTO parts SELECT g, g FROM generate_series(490, 510) g"},
	{0, "UPDATE parts SET id = id + 300 WHERE id < 495"},
	{0, "SELECT * FROM plain WHERE id < 4 FOR UPDATE"},
	// Out of line, and then a whole old row that is longer than a page.
	{0, "INSERT INTO wide SELECT g, repeat('wide', 3000) FROM generate_series(1, 2) g"},
	{0, "UPDATE wide SET id = id + 10"},
	{0, "DELETE FROM wide WHERE id = 11"},
	// Two at a time, with subtransactions.
	{0, "BEGIN"},
	{0, "INSERT INTO plain VALUES (2001, 1, 'a')"},
	{1, "BEGIN"},
	{1, "INSERT INTO bag VALUES (2002)"},
	{0, "SAVEPOINT a"},
	{0, "INSERT INTO plain VALUES (2003, 1, 'back')"},
	{0, "SELECT pg_logical_emit_message(true, 'walpurge', 'back')"},
	{0, "ROLLBACK TO a"},
	{1, "COMMIT"},
	{0, "SAVEPOINT b"},
	{0, "UPDATE plain SET n = 7 WHERE id = 2001"},
	{0, "SAVEPOINT c"},
	{0, "DELETE FROM plain WHERE id = 1"},
	{0, "RELEASE b"},
	{0, "SELECT pg_logical_emit_message(true, 'walpurge', 'listings agents')"},
	{0, "SELECT pg_logical_emit_message(true, 'other', 'no')"},
	{0, "COMMIT"},
	{1, "SELECT pg_logical_emit_message(false, 'walpurge', 'at once')"},
	{0, "BEGIN"},
	{0, "INSERT INTO plain VALUES (2004, 1, 'never')"},
	{0, "CREATE TABLE never (id int PRIMARY KEY)"},
	{0, "ROLLBACK"},
	// Prepared, with tables that are dropped at the commit.
	{0, "BEGIN"},
	{0, "INSERT INTO plain VALUES (2005, 1, 'p')"},
	{0, "SAVEPOINT d"},
	{0, "DELETE FROM first WHERE id < 4"},
	{0, "DROP TABLE second"},
	{0, "PREPARE TRANSACTION 'one'"},
	{0, "BEGIN"},
	{0, "INSERT INTO plain VALUES (2006, 1, 'p')"},
	{0, "DROP TABLE third"},
	{0, "PREPARE TRANSACTION 'two'"},
	{1, "COMMIT PREPARED 'one'"},
	{1, "ROLLBACK PREPARED 'two'"},
	// From elsewhere.
	{1, "SELECT pg_replication_origin_session_setup('elsewhere')"},
	{1, "INSERT INTO plain VALUES (2007, 1, 'o')"},
	{1, "SELECT pg_replication_origin_session_reset()"},
	{0, "BEGIN"},
	{0, "DROP TABLE third"},
	{0, "INSERT INTO plain VALUES (2008, 1, 'd')"},
	{0, "COMMIT"},
	{0, "ALTER TABLE plain ADD COLUMN more int DEFAULT 7"},
	{0, "INSERT INTO plain VALUES (2009, 1, 'm', 1)"},
	{0, "ALTER TABLE plain ALTER n TYPE bigint"},
	{0, "VACUUM plain"},
	{0, "CREATE TABLE made AS SELECT g AS id FROM generate_series(1, 20) g"},
	{0, "SELECT pg_switch_wal()"},
	{0, "UPDATE plain SET t = 'after the switch' WHERE id < 4"},
	{0, "BEGIN"},
	{0, "TRUNCATE wide, parts"},
	{0, "INSERT INTO wide VALUES (1, 'new')"},
	{0, "COMMIT"},
	{0, "BEGIN"},
	{0, "TRUNCATE plain"},
	{0, "ROLLBACK"},
	{0, "TRUNCATE bag"},
}

// TestALogWithEverythingInIt has the server write a log, asks it what is in it,
// and compares. That is how the fixtures of other versions were made.
func TestALogWithEverythingInIt(t *testing.T) {
	// Whole pages are logged only where that is what is looked at: they are most of a log.
	p := testbed.NewPostgres(t, map[string]string{"full_page_writes": "off", "autovacuum": "off"})
	s := newServer(t, p.URL("postgres"))
	s.exec(before...)
	sessions := []*server{s, newServer(t, p.URL("postgres"))}
	of := make(files)
	s.learn(s.conn, of)
	s.decode("fixture") // what was before
	s.nearTheEndOfASegment(24 << 10)
	f := &fixture{Page: s.layout.page, Segment: s.layout.segment, Database: s.database}
	s.scan(&f.Server, "SHOW server_version")
	s.scan(&f.Version, "SELECT current_setting('server_version_num')::int")
	f.Start = s.here()
	for _, d := range captured {
		sessions[d.session].exec(d.statement)
		s.learn(sessions[d.session].conn, of)
	}
	if err := p.Set(context.Background(), "full_page_writes", "on"); err != nil {
		t.Fatal(err)
	}
	for i, compression := range s.compressions() {
		s.exec("SET wal_compression = "+compression, "CHECKPOINT", fmt.Sprintf("UPDATE plain SET n = n + 1 WHERE id = %d", 14+i))
	}
	f.log = s.log(f.Start)
	f.Transactions = s.decode("fixture")
	layout := s.layout
	scanner, err := scanAll(layout, f.Start, f.log, 0, func(*Record) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	f.log = f.log[:scanner.Position()-f.Start]
	if s.lists() {
		f.Records = s.list(f.Start, scanner.Position())
	}
	for file, table := range of {
		f.Files = append(f.Files, owner{file, table})
	}
	f.check(t, 1)
	t.Logf("%d transactions in %d KiB", len(f.Transactions), len(f.log)>>10)
	if *keep {
		f.write(t)
	}
}

// nearTheEndOfASegment fills the log until so many bytes are left in its segment.
func (s *server) nearTheEndOfASegment(left int) {
	s.t.Helper()
	at := s.lsn("SELECT pg_current_wal_insert_lsn()::text")
	fill := s.layout.segment - int(at)%s.layout.segment - left
	fill -= fill / s.layout.page * shortHeader
	if fill > 0 {
		s.exec(fmt.Sprintf("SELECT pg_logical_emit_message(false, 'fill', repeat('.', %d))", fill))
	}
}

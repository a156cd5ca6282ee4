package wal

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"

	"walpurge/dev/testbed"
	"walpurge/internal/coherence"
)

func TestMain(m *testing.M) { testbed.Main(m) }

// server is a database whose log is looked at.
type server struct {
	t        testing.TB
	url      string
	conn     *pgx.Conn
	layout   Layout
	database uint32
}

func newServer(t testing.TB, url string) *server {
	t.Helper()
	s := &server{t: t, url: url}
	s.conn = s.connect()
	var version, page, segment int
	s.scan(&version, "SELECT current_setting('server_version_num')::int")
	s.scan(&page, "SELECT current_setting('wal_block_size')::int")
	s.scan(&segment, "SELECT pg_size_bytes(current_setting('wal_segment_size'))")
	s.scan(&s.database, "SELECT oid FROM pg_database WHERE datname = current_database()")
	var err error
	if s.layout, err = NewLayout(version, page, segment); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *server) connect() *pgx.Conn {
	s.t.Helper()
	conn, err := pgx.Connect(s.t.Context(), s.url)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func (s *server) scan(into any, query string, args ...any) {
	s.t.Helper()
	if err := s.conn.QueryRow(s.t.Context(), query, args...).Scan(into); err != nil {
		s.t.Fatalf("%s: %v", query, err)
	}
}

func (s *server) lsn(query string) coherence.LSN {
	s.t.Helper()
	var text string
	s.scan(&text, query)
	at, err := coherence.ParseLSN(text)
	if err != nil {
		s.t.Fatal(err)
	}
	return at
}

// here writes a record and returns where one starts.
func (s *server) here() coherence.LSN {
	s.t.Helper()
	s.exec("CHECKPOINT")
	return s.lsn("SELECT redo_lsn::text FROM pg_control_checkpoint()")
}

func (s *server) exec(statements ...string) {
	s.t.Helper()
	for _, statement := range statements {
		if _, err := s.conn.PgConn().Exec(s.t.Context(), statement).ReadAll(); err != nil {
			s.t.Fatalf("%s: %v", statement, err)
		}
	}
}

// segmentOf is the name of the file that the log at a position is in.
func (s *server) segmentOf(at coherence.LSN) string {
	segment := coherence.LSN(s.layout.segment)
	number, perID := at/segment, (1<<32)/segment
	return fmt.Sprintf("%08X%08X%08X", 1, uint64(number/perID), uint64(number%perID))
}

// flush commits something, after all that was written before.
const flush = "SELECT pg_logical_emit_message(true, 'flush', '')"

// log reads what has been written from start on from the server's files.
func (s *server) log(start coherence.LSN) []byte {
	s.t.Helper()
	s.exec(flush)
	end := s.lsn("SELECT pg_current_wal_flush_lsn()::text")
	var dir string
	s.scan(&dir, "SHOW data_directory")
	segment := coherence.LSN(s.layout.segment)
	var all []byte
	for at := start; at < end; {
		b, err := os.ReadFile(filepath.Join(dir, "pg_wal", s.segmentOf(at)))
		if err != nil {
			s.t.Fatal(err)
		}
		offset := at % segment
		b = b[offset:min(segment, end-(at-offset))]
		all = append(all, b...)
		at += coherence.LSN(len(b))
	}
	return all
}

// files tells to which table a file has ever belonged.
type files map[File]uint32

// learn notes which files belong to which tables, as conn sees it.
func (s *server) learn(conn *pgx.Conn, of files) {
	s.t.Helper()
	rows, err := conn.Query(s.t.Context(), `SELECT coalesce(nullif(c.reltablespace, 0), d.dattablespace), pg_relation_filenode(c.oid), c.oid
FROM pg_class c, pg_database d WHERE d.datname = current_database() AND c.relkind IN ('r', 't', 'm')`)
	if err != nil {
		s.t.Fatal(err)
	}
	var f File
	var oid uint32
	if _, err := pgx.ForEachRow(rows, []any{&f.Space, &f.Node, &oid}, func() error {
		of[f] = oid
		return nil
	}); err != nil {
		s.t.Fatal(err)
	}
}

// scanAll scans data in pieces of random sizes.
func scanAll(layout Layout, start coherence.LSN, data []byte, seed uint64, visit func(*Record) error) (*Scanner, error) {
	rnd := rand.New(rand.NewPCG(seed, 0))
	s := NewScanner(layout, start)
	for len(data) > 0 {
		n := len(data)
		if seed != 0 {
			n = min(n, 1+rnd.IntN([]int{16, 700, 20_000, 200_000}[rnd.IntN(4)]))
		}
		if err := s.Scan(data[:n], visit); err != nil {
			return s, err
		}
		data = data[n:]
	}
	return s, nil
}

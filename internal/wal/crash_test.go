package wal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"walpurge/dev/testbed"
	"walpurge/internal/coherence"
)

// TestAServerGivesUpARecordAfterACrash takes the end of a record away from a
// server that crashes. It goes on behind the beginning of it, with a mark.
func TestAServerGivesUpARecordAfterACrash(t *testing.T) {
	p := testbed.NewPostgres(t, map[string]string{"autovacuum": "off"})
	s := newServer(t, p.URL("postgres"))
	s.exec("CREATE TABLE kept (id int)")
	start := s.here()
	s.exec("INSERT INTO kept VALUES (1)")
	cut := s.lsn("SELECT pg_current_wal_insert_lsn()::text")
	s.exec(fmt.Sprintf("SELECT pg_logical_emit_message(false, 'cut', repeat('c', %d))", 4*s.layout.page), flush)
	file := filepath.Join(p.Dir(), "pg_wal", s.segmentOf(cut))
	if err := p.Stop("immediate"); err != nil {
		t.Fatal(err)
	}
	page := coherence.LSN(s.layout.page)
	if err := zeroFrom(file, int64(((cut+page)&^(page-1))%coherence.LSN(s.layout.segment))); err != nil {
		t.Fatal(err)
	}
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	s = newServer(t, p.URL("postgres"))
	s.exec("INSERT INTO kept VALUES (2)")
	digest := NewDigest(s.layout, s.database, "walpurge")
	var told []string
	marked := false
	if _, err := scanAll(s.layout, start, s.log(start), 1, func(r *Record) error {
		if r.Start == cut {
			return errors.New("it is told and was given up")
		}
		marked = marked || r.manager == managerLog && r.info == logOverwritten
		c, err := digest.Record(r)
		if c != nil && len(c.Files) > 0 {
			told = append(told, fmt.Sprint(r.Start > cut))
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(told, " "); got != "false true" || !marked {
		t.Errorf("commits behind the record: %s; it is marked as given up: %t", got, marked)
	}
}

// logOverwritten is the record that says where one was given up.
const logOverwritten = 0xD0

func zeroFrom(path string, offset int64) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	_, err = f.WriteAt(make([]byte, info.Size()-offset), offset)
	return err
}

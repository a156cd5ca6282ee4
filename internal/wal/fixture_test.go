package wal

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/klauspost/compress/zstd"

	"walpurge/internal/coherence"
)

// fixture is a piece of a server's log, and what that server has said of it.
type fixture struct {
	Server        string // its version, as it spells it
	Version       int    // server_version_num
	Page, Segment int
	Database      uint32
	Start         coherence.LSN
	Files         []owner
	Transactions  map[uint32]*decoded
	Records       []string // as line writes them; none from PostgreSQL 14, which lists none

	log []byte
}

// owner is the table that a file has belonged to.
type owner struct {
	File
	Table uint32
}

// TestLogsOfEveryVersion decodes what servers of each version have written, and
// compares it with what they said of it. testdata is made by `make wal-fixtures`.
func TestLogsOfEveryVersion(t *testing.T) {
	for major := range layouts {
		t.Run(fmt.Sprint(major), func(t *testing.T) {
			f, err := readFixture(major)
			if err != nil {
				t.Fatal(err)
			}
			if f.Version/10000 != major {
				t.Fatalf("it is of PostgreSQL %s", f.Server)
			}
			for seed := range uint64(3) {
				f.check(t, seed)
			}
		})
	}
}

// check compares what the log says with what the server has said.
func (f *fixture) check(t *testing.T, seed uint64) {
	t.Helper()
	layout, err := NewLayout(f.Version, f.Page, f.Segment)
	if err != nil {
		t.Fatal(err)
	}
	of := make(files)
	for _, o := range f.Files {
		of[o.File] = o.Table
	}
	digest := NewDigest(layout, f.Database, "walpurge")
	var lines []string
	found := 0
	scanner, err := scanAll(layout, f.Start, f.log, seed, func(r *Record) error {
		line, err := layout.line(r)
		if err != nil {
			return err
		}
		lines = append(lines, line)
		c, err := digest.Record(r)
		if c != nil && f.Transactions[c.XID] != nil {
			found++
			f.Transactions[c.XID].compare(t, c, of)
		}
		return err
	})
	switch {
	case err != nil:
		t.Fatal(err)
	case scanner.Position() != f.Start+coherence.LSN(len(f.log)):
		t.Errorf("the last record ends at %s and not where the log does", scanner.Position())
	case found != len(f.Transactions):
		t.Errorf("%d of %d transactions that were decoded are in the log", found, len(f.Transactions))
	case len(digest.open) > 0:
		t.Errorf("%d transactions are remembered that have ended", len(digest.open))
	}
	if f.Version >= 150000 {
		same(t, lines, f.Records)
	}
}

func fixturePath(major int, what string) string {
	return filepath.Join("testdata", "logs", fmt.Sprintf("%d.%s.zst", major, what))
}

func readFixture(major int) (*fixture, error) {
	f := &fixture{}
	told, err := unpack(fixturePath(major, "json"))
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(told, f); err != nil {
		return nil, err
	}
	f.log, err = unpack(fixturePath(major, "log"))
	return f, err
}

func unpack(path string) ([]byte, error) {
	packed, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	r, err := zstd.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// write puts the fixture into testdata.
func (f *fixture) write(t *testing.T) {
	t.Helper()
	slices.SortFunc(f.Files, func(a, b owner) int { return int(a.Node) - int(b.Node) })
	told, err := json.MarshalIndent(f, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	packer, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBestCompression))
	if err != nil {
		t.Fatal(err)
	}
	for what, content := range map[string][]byte{"json": told, "log": f.log} {
		path := fixturePath(f.Version/10000, what)
		packed := packer.EncodeAll(content, nil)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, packed, 0o644); err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %d bytes, of which %d are left", path, len(content), len(packed))
	}
}

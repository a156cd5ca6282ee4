package cdc

import (
	"context"
	"encoding/binary"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"

	"walpurge/dev/testbed"
	"walpurge/internal/coherence"
)

var record = flag.Bool("record", false, "write testdata/stream.bin anew from a real server")

// streamFile holds messages of a real server, each after its length in four
// bytes.
const streamFile = "stream.bin"

// messages takes a stream apart. What doesn't fit is the last message.
func messages(stream []byte) [][]byte {
	var list [][]byte
	for len(stream) >= 4 {
		n := int(binary.BigEndian.Uint32(stream))
		stream = stream[4:]
		if n > len(stream) {
			n = len(stream)
		}
		list = append(list, stream[:n:n])
		stream = stream[n:]
	}
	return list
}

// recorded is the content of the file.
func recorded(t testing.TB) []byte {
	t.Helper()
	stream, err := os.ReadFile(filepath.Join("testdata", streamFile))
	if err != nil {
		t.Fatal(err)
	}
	return stream
}

// recordedDecoder knows the table of the recording by its id there.
func recordedDecoder(t testing.TB, stream []byte) *decoder {
	t.Helper()
	c := testCatalogue()
	clear(c.byOID)
	for _, msg := range messages(stream) {
		if len(msg) > 14 && msg[0] == 'R' && string(msg[5:14]) == "public\x00a\x00" {
			c.byOID[binary.BigEndian.Uint32(msg[1:])] = 0
			return newDecoder(c, testTables(), 1000)
		}
	}
	t.Fatal("the recording doesn't describe public.a")
	return nil
}

func TestRecordedStream(t *testing.T) {
	if *record {
		recordStream(t)
	}
	stream := recorded(t)
	d := recordedDecoder(t, stream)
	commits, rows, groups := 0, 0, 0
	for _, msg := range messages(stream) {
		committed, err := d.decode(msg)
		if err != nil {
			t.Fatal(err)
		}
		if committed {
			commits++
			rows += len(d.tx.Changes)
			groups += len(d.tx.Groups)
		}
	}
	if commits != 8 || rows != 9 || groups != 2 {
		t.Errorf("%d commits, %d rows, %d groups", commits, rows, groups)
	}
}

func FuzzDecode(f *testing.F) {
	stream := recorded(f)
	f.Add(stream)
	for _, msg := range messages(stream) {
		f.Add(append(binary.BigEndian.AppendUint32(nil, uint32(len(msg))), msg...))
	}
	var streamed []byte
	for _, msg := range [][]byte{
		streamStart(7, 1), inPiece(7, describeA), inPiece(7, insertA(1)), inPiece(7, groupMessage(1, "g")), streamStop(),
		streamStart(8, 1), inPiece(8, describeA), streamStop(), streamAbort(8, 8), streamStart(7, 0), streamStop(), streamCommit(7, 10, 20),
	} {
		streamed = append(binary.BigEndian.AppendUint32(streamed, uint32(len(msg))), msg...)
	}
	f.Add(streamed)
	for cut := 0; cut < len(stream); cut += 97 {
		f.Add(stream[:cut])
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		d := recordedDecoder(t, stream)
		for _, msg := range messages(data) {
			committed, err := d.decode(msg)
			if err != nil {
				return // the stream ends here
			}
			if d.streaming.kept < 0 || d.streaming.kept > d.streaming.room {
				t.Fatalf("%d bytes are kept of open transactions", d.streaming.kept)
			}
			if !committed {
				continue
			}
			if d.tx.End <= d.tx.Start {
				t.Fatalf("a commit from %s to %s", d.tx.Start, d.tx.End)
			}
			for i := range d.tx.Changes {
				describe(testTables(), d.tx, &d.tx.Changes[i])
			}
		}
	})
}

// recordStream writes the file.
func recordStream(t *testing.T) {
	url := testbed.Database(t)
	c := newClient(t, url)
	c.exec(`CREATE TABLE a (id int PRIMARY KEY, note int, price int)`, `ALTER TABLE a REPLICA IDENTITY FULL`,
		`CREATE TABLE keyed (id int PRIMARY KEY, big text, mood json)`, `ALTER TABLE keyed ALTER big SET STORAGE EXTERNAL`)
	cfg := config(t, url, Watch{Table: "public.a"}, Watch{Table: "public.keyed"})
	if _, err := Setup(t.Context(), cfg, false); err != nil {
		t.Fatal(err)
	}
	c.exec(`INSERT INTO a VALUES (1, 2, 3), (2, NULL, NULL), (3, 4, 5)`, `UPDATE a SET price = 4 WHERE id = 1`, `UPDATE a SET id = 9, note = NULL WHERE id = 1`,
		`DELETE FROM a WHERE id = 2`, `INSERT INTO keyed VALUES (1, repeat('x', 5000), '{}'); UPDATE keyed SET mood = '[]'; UPDATE keyed SET id = 2; DELETE FROM keyed`,
		`SELECT pg_logical_emit_message(true, 'walpurge', 'a b')`,
		`BEGIN; SAVEPOINT s; INSERT INTO a VALUES (5); ROLLBACK TO s; INSERT INTO a VALUES (6); UPDATE a SET note = 1 WHERE id = 6; DELETE FROM a WHERE id = 6; COMMIT`,
		`TRUNCATE a, keyed`)
	conn, _, err := cfg.connectReplication(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	s := &session{l: &Listener{cfg: cfg}, replication: conn, slot: cfg.Slot}
	if err := s.start(t.Context(), coherence.LSN(0)); err != nil {
		t.Fatal(err)
	}
	var stream []byte
	for commits := 0; commits < 8; {
		msg, err := conn.ReceiveMessage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if data, ok := msg.(*pgproto3.CopyData); ok && data.Data[0] == 'w' {
			body := data.Data[xlogHeader:]
			stream = append(binary.BigEndian.AppendUint32(stream, uint32(len(body))), body...)
			if body[0] == 'C' {
				commits++
			}
		}
	}
	if err := os.MkdirAll("testdata", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join("testdata", streamFile), stream, 0o644); err != nil {
		t.Fatal(err)
	}
}

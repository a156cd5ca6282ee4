package testbed

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"path/filepath"

	"walpurge/internal/subprocess"
)

// reidentify gives the stopped cluster in data a new system identifier, which copies of one initdb would share.
//
// The identifier is the first field of global/pg_control; a CRC-32C over all fields follows the last one. pg_resetwal
// then writes a WAL that carries the new identifier; without it the server takes its own WAL for another cluster's.
func (in installation) reidentify(ctx context.Context, data string) error {
	path := filepath.Join(data, "global", "pg_control")
	control, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := setIdentifier(control, rand.Uint64()>>1|1); err != nil {
		return fmt.Errorf("change %s: %w", path, err)
	}
	if err := os.WriteFile(path, control, 0o600); err != nil {
		return err
	}
	if err := subprocess.Run(ctx, in.command(data, "pg_resetwal", "--force", "--pgdata="+data)); err != nil {
		return fmt.Errorf("run pg_resetwal: %w", err)
	}
	return nil
}

// setIdentifier changes the identifier in the contents of pg_control. Where the checksum stands differs from version
// to version: it is the first aligned word that is the checksum of all before it.
func setIdentifier(control []byte, identifier uint64) error {
	castagnoli := crc32.MakeTable(crc32.Castagnoli)
	for end := 16; end+4 <= len(control); end += 4 {
		if binary.NativeEndian.Uint32(control[end:]) != crc32.Checksum(control[:end], castagnoli) {
			continue
		}
		binary.NativeEndian.PutUint64(control, identifier)
		binary.NativeEndian.PutUint32(control[end:], crc32.Checksum(control[:end], castagnoli))
		return nil
	}
	return errors.New("no checksum found")
}

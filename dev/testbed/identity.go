package testbed

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"path/filepath"
)

// reidentify gives the stopped cluster in data a new system identifier, which copies of one initdb would share.
//
// The identifier is the first field of global/pg_control; a CRC-32C over all fields follows the last one. The first
// page of each WAL file has it too: without that the server takes its own WAL for another cluster's.
func reidentify(data string) error {
	identifier := rand.Uint64()>>1 | 1
	path := filepath.Join(data, "global", "pg_control")
	control, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := setIdentifier(control, identifier); err != nil {
		return fmt.Errorf("change %s: %w", path, err)
	}
	if err := os.WriteFile(path, control, 0o600); err != nil {
		return err
	}
	// 24 hexadecimal digits: no other file in there has a name of that length.
	segments, err := filepath.Glob(filepath.Join(data, "pg_wal", "????????????????????????"))
	if err != nil {
		return err
	}
	for _, segment := range segments {
		if err := identifySegment(segment, identifier); err != nil {
			return fmt.Errorf("change %s: %w", segment, err)
		}
	}
	return nil
}

// identifierOffset is where a WAL file has the identifier: behind the fields that every page begins with. The headers
// of pages have no checksum.
const identifierOffset = 24

func identifySegment(path string, identifier uint64) (err error) {
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	_, err = file.WriteAt(binary.NativeEndian.AppendUint64(nil, identifier), identifierOffset)
	return err
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

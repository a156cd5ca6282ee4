package testbed

import (
	"fmt"
	"io"
	"os"
	"strings"
)

const tailBytes = 4096

// openLog opens path for appending and returns its length, the place where this run's lines begin.
func openLog(path string) (*os.File, int64, error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return nil, 0, err
	}
	info, err := file.Stat()
	if err != nil {
		_ = file.Close()
		return nil, 0, err
	}
	return file, info.Size(), nil
}

// logTail returns what stands in path from offset on, at most the last 4 KiB.
func logTail(path string, offset int64) string {
	file, err := os.Open(path)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		return err.Error()
	}
	offset = max(offset, info.Size()-tailBytes)
	data, err := io.ReadAll(io.NewSectionReader(file, offset, info.Size()-offset))
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(data))
}

// startError is why a server did not start, with the end of its log.
func startError(err error, path string, offset int64) error {
	return fmt.Errorf("%w; the end of %s:\n%s", err, path, logTail(path, offset))
}

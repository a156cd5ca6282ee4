package testbed

import (
	"fmt"
	"os"

	"walpurge/dev/subprocess"
)

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

// startError is why a server did not start, with the end of its log.
func startError(err error, path string, offset int64) error {
	return fmt.Errorf("%w; the end of %s:\n%s", err, path, subprocess.Tail(path, offset))
}

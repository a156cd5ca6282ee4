package testbed

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

const (
	lockName      = "lock"
	scratchPrefix = "walpurge-run-"

	// sweepAge protects a directory whose maker has not come round to locking it.
	sweepAge = time.Minute
)

// claim creates dir and locks it for this process. A directory that an earlier run left behind is emptied; one that
// is in use or was never ours is refused.
func claim(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, lockName)
	if _, err := os.Lstat(path); err != nil && len(entries) > 0 {
		return nil, fmt.Errorf("%s is not empty and no earlier run left it: choose another directory", dir)
	}
	lock, err := lockFile(path, syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, fmt.Errorf("%s is in use by another process: stop that first or choose another directory", dir)
	}
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		if entry.Name() == lockName {
			continue
		}
		if err := os.RemoveAll(filepath.Join(dir, entry.Name())); err != nil {
			return nil, errors.Join(err, lock.Close())
		}
	}
	return lock, nil
}

// lockFile opens or creates path and takes a flock(2) on it. The lock goes with the process, whatever ends it; children
// don't inherit the descriptor. It follows no symbolic link: the path may stand in a world-writable directory.
func lockFile(path string, how int) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), how); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), file.Close())
	}
	return file, nil
}

// scratch makes and claims a directory for temporary files that the account reaches, and removes those of processes
// that could not clean up (B2).
func scratch(a account) (string, *os.File, error) {
	base, err := a.tempDir()
	if err != nil {
		return "", nil, err
	}
	sweep(base, time.Now())
	dir, err := os.MkdirTemp(base, scratchPrefix)
	if err != nil {
		return "", nil, err
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return "", nil, errors.Join(err, os.RemoveAll(dir))
	}
	lock, err := claim(dir)
	if err != nil {
		return "", nil, errors.Join(err, os.RemoveAll(dir))
	}
	return dir, lock, nil
}

// sweep removes the scratch directories in base that belong to this user and that no process has locked. Errors are
// left to the next sweep: they must not keep a test from starting.
func sweep(base string, now time.Time) {
	found, err := filepath.Glob(filepath.Join(base, scratchPrefix+"*"))
	if err != nil {
		return
	}
	for _, dir := range found {
		info, err := os.Lstat(dir)
		if err != nil || !info.IsDir() || !owned(info) || now.Sub(info.ModTime()) < sweepAge {
			continue
		}
		lock, err := lockFile(filepath.Join(dir, lockName), syscall.LOCK_EX|syscall.LOCK_NB)
		if err != nil {
			continue
		}
		_ = os.RemoveAll(dir)
		_ = lock.Close()
	}
}

// owned reports whether info is of a file of this process's user.
func owned(info os.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == os.Geteuid()
}

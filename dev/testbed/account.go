package testbed

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// account is the user that PostgreSQL runs as. The zero account is the user of this process.
type account struct {
	credential *syscall.Credential
}

// serverAccount chooses the user for PostgreSQL: this process's own unless that is root, which PostgreSQL refuses.
func serverAccount() (account, error) {
	if os.Geteuid() != 0 {
		return account{}, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		found, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(found.Uid, 10, 32)
		if err != nil || uid == 0 {
			continue
		}
		gid, err := strconv.ParseUint(found.Gid, 10, 32)
		if err != nil {
			continue
		}
		return account{&syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}, nil
	}
	return account{}, errors.New("PostgreSQL refuses to run as root, and there is no user postgres or nobody to run it as")
}

// attr makes a child run as the account, without supplementary groups.
func (a account) attr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: a.credential}
}

// own gives path, not what is below it, to the account.
func (a account) own(path string) error {
	if a.credential == nil {
		return nil
	}
	return os.Lchown(path, int(a.credential.Uid), int(a.credential.Gid))
}

// reaches reports whether the account may search the existing directory dir and every directory above it. It looks
// at the mode bits alone, which is what a clone under /root or in a private home differs by.
func (a account) reaches(dir string) bool {
	if a.credential == nil {
		return true
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return false
	}
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return false
	}
	for {
		info, err := os.Stat(dir)
		if err != nil || !a.searches(info) {
			return false
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return true
		}
		dir = parent
	}
}

func (a account) searches(info os.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return false
	}
	search := os.FileMode(0o001)
	switch {
	case stat.Uid == a.credential.Uid:
		search = 0o100
	case stat.Gid == a.credential.Gid:
		search = 0o010
	}
	return info.Mode().Perm()&search != 0
}

// tempDir is the first directory for temporary files that the account reaches.
func (a account) tempDir() (string, error) {
	for _, dir := range []string{os.TempDir(), "/tmp"} {
		if a.reaches(dir) {
			return dir, nil
		}
	}
	return "", fmt.Errorf("user %d, which PostgreSQL runs as, reaches neither %s nor /tmp: make one of them world-searchable", a.credential.Uid, os.TempDir())
}

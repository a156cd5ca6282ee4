package testbed

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// stranger is a user who is not this one and owns nothing.
var stranger = account{&syscall.Credential{Uid: 65533, Gid: 65533}}

func TestReachDependsOnEveryDirectoryAbove(t *testing.T) {
	base := publicDir(t)
	closed := filepath.Join(base, "closed")
	inner := filepath.Join(closed, "inner")
	must(t, os.MkdirAll(inner, 0o755))
	if !stranger.reaches(inner) {
		t.Errorf("%s is not reached", inner)
	}
	must(t, os.Chmod(closed, 0o750))
	if stranger.reaches(inner) {
		t.Errorf("%s is reached through a closed directory", inner)
	}
	if !(account{}).reaches(inner) {
		t.Errorf("this user does not reach %s", inner)
	}
	info, err := os.Stat(closed)
	must(t, err)
	stat := info.Sys().(*syscall.Stat_t)
	group := account{&syscall.Credential{Uid: 65533, Gid: stat.Gid}}
	if !group.reaches(inner) {
		t.Errorf("the group does not reach %s", inner)
	}
}

func TestUnreachableDirectoryBecomesALink(t *testing.T) {
	closed := filepath.Join(publicDir(t), "closed")
	must(t, os.Mkdir(closed, 0o700))
	dir := filepath.Join(closed, "postgres")
	for range 2 { // the second finds the link of the first, whose process has ended without Close
		p := &Postgres{installation: installation{account: stranger}}
		must(t, p.place(dir))
		t.Cleanup(func() { _ = os.RemoveAll(p.dir) })
		if !stranger.reaches(p.dir) {
			t.Errorf("%s is not reached", p.dir)
		}
		if target, err := os.Readlink(dir); target != p.dir {
			t.Errorf("%s links to %q, %v; want %s", dir, target, err, p.dir)
		}
	}
	p := &Postgres{installation: installation{account: stranger}, dir: filepath.Join(closed, "x"), link: dir}
	var err error
	p.lock, err = claim(p.dir)
	must(t, err)
	must(t, p.Close())
	for _, path := range []string{dir, p.dir} {
		if _, err := os.Lstat(path); !os.IsNotExist(err) {
			t.Errorf("%s is still there: %v", path, err)
		}
	}
}

func TestClaimRefusesWhatIsNotOurs(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "thesis.tex"), nil, 0o600))
	if _, err := claim(dir); err == nil || !strings.Contains(err.Error(), "choose another directory") {
		t.Errorf("a directory with somebody's files is claimed: %v", err)
	}
	if _, err := os.Lstat(filepath.Join(dir, "thesis.tex")); err != nil {
		t.Error(err)
	}
}

func TestClaimRefusesWhatIsInUseAndEmptiesWhatIsLeft(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	lock, err := claim(dir)
	must(t, err)
	left := filepath.Join(dir, "data")
	must(t, os.Mkdir(left, 0o700))
	if _, err := claim(dir); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("a directory in use is claimed: %v", err)
	}
	if _, err := os.Lstat(left); err != nil {
		t.Error(err)
	}
	must(t, lock.Close())
	lock, err = claim(dir)
	must(t, err)
	t.Cleanup(func() { _ = lock.Close() })
	if _, err := os.Lstat(left); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", left, err)
	}
}

func TestSweepRemovesWhatNobodyHolds(t *testing.T) {
	base := publicDir(t)
	held, left, foreign := filepath.Join(base, scratchPrefix+"held"), filepath.Join(base, scratchPrefix+"left"), filepath.Join(base, "left")
	for _, dir := range []string{held, left, foreign} {
		lock, err := claim(dir)
		must(t, err)
		if dir == held {
			t.Cleanup(func() { _ = lock.Close() })
		} else {
			must(t, lock.Close())
		}
	}
	there := func(dir string) bool { _, err := os.Lstat(dir); return err == nil }
	sweep(base, time.Now())
	if !there(left) {
		t.Error("a directory is swept that may be about to be locked")
	}
	sweep(base, time.Now().Add(2*sweepAge))
	if !there(held) || there(left) || !there(foreign) {
		t.Errorf("after the sweep: held %v, left %v, foreign %v; want true, false, true", there(held), there(left), there(foreign))
	}
}

// publicDir is a directory that every user reaches, which t.TempDir is not.
func publicDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "walpurge-testbed-")
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
	must(t, os.Chmod(dir, 0o755))
	return dir
}

package testbed

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"

	"walpurge/dev/subprocess"
)

// installation is the programs and the user that clusters are made and run with.
type installation struct {
	programs string // directory of initdb and postgres
	account  account
}

func findInstallation() (installation, error) {
	programs, err := postgresPrograms()
	if err != nil {
		return installation{}, err
	}
	a, err := serverAccount()
	return installation{programs, a}, err
}

// command prepares a PostgreSQL program to run in dir, as the account, without this process's environment:
// PGDATA, PGPORT and the like would reach the server.
func (in installation) command(dir, name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(in.programs, name), args...)
	cmd.Dir = dir
	cmd.Env = []string{"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=" + dir, "LC_ALL=C.UTF-8", "TZ=UTC"}
	cmd.SysProcAttr = in.account.attr()
	return cmd
}

// createCluster makes a cluster in the new directory data: a copy of the template with an identity of its own (B4),
// or one straight from initdb if there can be no template.
func (in installation) createCluster(ctx context.Context, data string) error {
	template, err := in.template(ctx)
	if err == nil {
		if err = in.copyTree(template, data); err == nil {
			err = reidentify(data)
		}
	}
	if err == nil || ctx.Err() != nil {
		return err
	}
	if err := os.RemoveAll(data); err != nil {
		return err
	}
	return in.initdb(ctx, data)
}

// initdb runs initdb(1). Nothing is synced to disk: losing the cluster in a power failure loses a test.
func (in installation) initdb(ctx context.Context, data string) error {
	if err := os.Mkdir(data, 0o700); err != nil {
		return err
	}
	if err := in.account.own(data); err != nil {
		return err
	}
	cmd := in.command(data, "initdb", "--pgdata="+data, "--username=postgres", "--encoding=UTF8", "--locale=C.UTF-8", "--auth=trust", "--no-sync", "--no-instructions")
	output, err := os.CreateTemp("", "initdb-*.log")
	if err != nil {
		return err
	}
	defer func() { _, _ = output.Close(), os.Remove(output.Name()) }()
	cmd.Stdout, cmd.Stderr = output, output
	if err := subprocess.Run(ctx, cmd); err != nil {
		return startError(fmt.Errorf("run initdb: %w", err), output.Name(), 0)
	}
	return nil
}

// template returns the data directory of a cluster that no server runs on. It is made once a machine and server
// version, under a lock, and appears by a rename: whoever sees it sees it whole.
func (in installation) template(ctx context.Context) (string, error) {
	version, err := postgresVersion(ctx, in.programs)
	if err != nil {
		return "", err
	}
	base, err := in.account.tempDir()
	if err != nil {
		return "", err
	}
	final := filepath.Join(base, "walpurge-initdb-"+version+"-"+strconv.Itoa(os.Geteuid()))
	lock, err := lockFile(final+".lock", syscall.LOCK_EX)
	if err != nil {
		return "", err
	}
	defer func() { _ = lock.Close() }()

	data := filepath.Join(final, "data")
	if info, err := os.Lstat(final); err == nil {
		// The name can be guessed and the directory is everybody's: take nothing that somebody else put there.
		if !info.IsDir() || !owned(info) || info.Mode().Perm()&0o022 != 0 {
			return "", fmt.Errorf("%s belongs to somebody else", final)
		}
		return data, nil
	}
	making, err := os.MkdirTemp(base, scratchPrefix)
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(making) }()
	if err := os.Chmod(making, 0o755); err != nil {
		return "", err
	}
	if err := in.initdb(ctx, filepath.Join(making, "data")); err != nil {
		return "", err
	}
	return data, os.Rename(making, final)
}

// copyTree copies a data directory: names, modes, contents; the owner is the account. Data directories that have
// never run hold directories and regular files only.
func (in installation) copyTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		target := filepath.Join(to, relative)
		switch {
		case info.IsDir():
			err = os.Mkdir(target, info.Mode().Perm())
		case info.Mode().IsRegular():
			err = copyFile(path, target, info.Mode().Perm())
		default:
			err = fmt.Errorf("copy %s: neither directory nor regular file", path)
		}
		if err != nil {
			return err
		}
		return in.account.own(target)
	})
}

func copyFile(from, to string, mode fs.FileMode) error {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = source.Close() }()
	return writeFile(to, source, mode)
}

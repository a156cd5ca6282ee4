package testbed

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"github.com/jackc/pgx/v5/pgconn"
)

// BASE_BACKUP's syntax and the form of its answer are others since PostgreSQL 15. See
// https://www.postgresql.org/docs/current/protocol-replication.html#PROTOCOL-REPLICATION-BASE-BACKUP. The command is given
// here and not by pg_basebackup(1), which a directory with the server's programs need not have.
const (
	backupCommand   = "BASE_BACKUP (LABEL 'walpurge', CHECKPOINT 'fast', WAL)"
	backupCommand14 = "BASE_BACKUP LABEL 'walpurge' FAST WAL"
)

// copyFrom makes p's data directory a copy of primary's, with the WAL that it needs to start.
func (p *Postgres) copyFrom(ctx context.Context, primary *Postgres) (err error) {
	conn, err := pgconn.Connect(ctx, primary.URL("postgres")+"&replication=true")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	if err := os.Mkdir(p.data(), 0o700); err != nil {
		return err
	}
	if err := p.installation.account.own(p.data()); err != nil {
		return err
	}
	archive, into := io.Pipe()
	unpacked := make(chan error, 1)
	go func() {
		err := p.installation.account.unpack(archive, p.data())
		_ = archive.CloseWithError(err) // ends the copy if that is not yet at its end
		unpacked <- err
	}()
	command, w := backupCommand, io.Writer(framed{into})
	if major(conn.ParameterStatus("server_version")) < 15 {
		command, w = backupCommand14, into
	}
	_, err = conn.CopyTo(ctx, w, command)
	if err = errors.Join(err, into.CloseWithError(err), <-unpacked); err != nil {
		return fmt.Errorf("copy the primary: %w", err)
	}
	return nil
}

// major is the major version in a text such as "15.13 (Debian 15.13-0+deb12u1)" or "18beta1".
func major(version string) int {
	end := 0
	for end < len(version) && version[end] >= '0' && version[end] <= '9' {
		end++
	}
	n, _ := strconv.Atoi(version[:end])
	return n
}

// framed passes on the data of the one archive that a cluster without tablespaces is. Each write is a message.
type framed struct{ w io.Writer }

func (f framed) Write(message []byte) (int, error) {
	if len(message) > 0 && message[0] == 'd' {
		if _, err := f.w.Write(message[1:]); err != nil {
			return 0, err
		}
	}
	return len(message), nil
}

// unpack writes what is in an archive into the directory dir, and owns it.
func (a account) unpack(archive io.Reader, dir string) error {
	for r := tar.NewReader(archive); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			_, err = io.Copy(io.Discard, archive) // the padding
			return err
		}
		if err != nil {
			return err
		}
		path := filepath.Join(dir, h.Name)
		mode := h.FileInfo().Mode()
		switch {
		case !filepath.IsLocal(h.Name):
			return fmt.Errorf("unpack %s: it would lie outside", h.Name)
		case mode.IsDir():
			err = os.MkdirAll(path, mode.Perm())
		case mode.IsRegular():
			err = writeFile(path, r, mode.Perm())
		default:
			err = fmt.Errorf("unpack %s: neither directory nor regular file", h.Name)
		}
		if err != nil {
			return err
		}
		if err := a.own(path); err != nil {
			return err
		}
	}
}

func writeFile(path string, from io.Reader, mode os.FileMode) (err error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	_, err = io.Copy(file, from)
	return err
}

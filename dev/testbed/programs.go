package testbed

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
)

// postgresDirs is where Debian's and Ubuntu's packages put the server programs, one directory a major version.
const postgresDirs = "/usr/lib/postgresql/*/bin"

// ProgramsVariable names the directory of the PostgreSQL server programs to use instead, such as another version's.
const ProgramsVariable = "WALPURGE_POSTGRES"

var (
	errNoPostgres = errors.New("the PostgreSQL server programs are neither in " + postgresDirs + " nor in PATH: `make test` installs them")
	errNoRedis    = errors.New("neither redis-server nor valkey-server is in PATH: `make test` installs one")
)

// postgresPrograms returns the directory of initdb and postgres: the one asked for, else the newest packaged version,
// else PATH's.
func postgresPrograms() (string, error) {
	if dir := os.Getenv(ProgramsVariable); dir != "" {
		if !complete(dir) {
			return "", fmt.Errorf("%s names %s, where initdb and postgres are not: name their directory, or unset it", ProgramsVariable, dir)
		}
		return filepath.Abs(dir)
	}
	dirs, err := filepath.Glob(postgresDirs)
	if err != nil {
		return "", err
	}
	newest, chosen := -1, ""
	for _, dir := range dirs {
		major, err := strconv.Atoi(filepath.Base(filepath.Dir(dir)))
		if err == nil && major > newest && complete(dir) {
			newest, chosen = major, dir
		}
	}
	if chosen != "" {
		return chosen, nil
	}
	path, err := exec.LookPath("postgres")
	if err != nil {
		return "", errNoPostgres
	}
	// The link in PATH may stand alone in /usr/local/bin; its target has the other programs beside it.
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return "", err
	}
	if dir := filepath.Dir(path); complete(dir) {
		return dir, nil
	}
	return "", errNoPostgres
}

// complete reports whether dir has the server programs and not only the client's.
func complete(dir string) bool {
	for _, name := range []string{"initdb", "postgres"} {
		if _, err := exec.LookPath(filepath.Join(dir, name)); err != nil {
			return false
		}
	}
	return true
}

var versionNumber = regexp.MustCompile(`\d[0-9a-z.]*`)

// postgresVersion is the number that `postgres --version` prints, such as 15.13 or 18beta1.
func postgresVersion(ctx context.Context, programs string) (string, error) {
	out, err := exec.CommandContext(ctx, filepath.Join(programs, "postgres"), "--version").Output()
	if err != nil {
		return "", fmt.Errorf("ask postgres for its version: %w", err)
	}
	number := versionNumber.FindString(string(out))
	if number == "" {
		return "", fmt.Errorf("ask postgres for its version: no number in %q", out)
	}
	return number, nil
}

// redisProgram returns the path of redis-server or, where that is missing, valkey-server.
func redisProgram() (string, error) {
	for _, name := range []string{"redis-server", "valkey-server"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errNoRedis
}

package testbed

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// alive reports whether pid is a process that has not ended; one whose parent has not collected it has.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	// The state follows the name, which is in parentheses and may hold some.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	return len(fields) > 0 && fields[0] != "Z" && fields[0] != "X"
}

// startAndWait is what this binary does as a child: it starts servers, prints their process ids and reads its
// standard input until it is killed.
func startAndWait(dir string) error {
	p, err := StartPostgres(context.Background(), filepath.Join(dir, "postgres"), nil)
	if err != nil {
		return err
	}
	r, err := StartRedis(context.Background(), filepath.Join(dir, "redis"))
	if err != nil {
		return err
	}
	fmt.Println(p.Pid(), r.Pid())
	_, err = bufio.NewReader(os.Stdin).ReadByte()
	return err
}

func TestServersEndWithAKilledParent(t *testing.T) {
	dir := publicDir(t)
	self, err := os.Executable()
	must(t, err)
	child := exec.Command(self)
	child.Env = append(os.Environ(), childDir+"="+dir)
	stdin, err := child.StdinPipe() // held open until the end
	must(t, err)
	defer func() { _ = stdin.Close() }()
	stdout, err := child.StdoutPipe()
	must(t, err)
	must(t, child.Start())
	line, err := bufio.NewReader(stdout).ReadString('\n')
	must(t, err)
	var postgres, redis int
	if _, err := fmt.Sscan(line, &postgres, &redis); err != nil {
		t.Fatalf("the child said %q", line)
	}
	if !alive(postgres) || !alive(redis) {
		t.Fatalf("the servers don't run: PostgreSQL %v, Redis %v", alive(postgres), alive(redis))
	}
	must(t, child.Process.Signal(syscall.SIGKILL))
	if err := child.Wait(); err == nil {
		t.Fatal("the child was not killed")
	}
	eventually(t, "PostgreSQL and Redis end", func() bool { return !alive(postgres) && !alive(redis) })
}

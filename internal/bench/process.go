package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// stopPatience is how long a server may take to end after SIGTERM.
const stopPatience = 5 * time.Second

// process is a server that was started here, with its process group.
type process struct {
	name   string
	log    string // path
	handle *os.Process
	done   chan struct{} // closed once the exit status has been collected
	err    error         // valid once done is closed
}

// start starts a program on one core, as the leader of a process group. Its output goes to the file log.
func start(log string, core int, env []string, program string, args ...string) (*process, error) {
	file, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	cmd := exec.Command("taskset", pinned(core, program, args...)...)
	cmd.Stdout, cmd.Stderr = file, file
	cmd.Env = append(cmd.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	setDeathSignal(cmd.SysProcAttr) // M6

	p := &process{name: program, log: log, done: make(chan struct{})}
	started := make(chan error)
	go func() {
		// The death signal comes when the thread ends that forked: keep it.
		runtime.LockOSThread()
		err := cmd.Start()
		p.handle = cmd.Process
		started <- err
		if err == nil {
			p.err = cmd.Wait()
			close(p.done)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", program, err)
	}
	return p, nil
}

// pinned are taskset's arguments. It replaces itself by the program, so the process id is the program's.
func pinned(core int, program string, args ...string) []string {
	return append([]string{"-c", fmt.Sprint(core), program}, args...)
}

// pin moves a running process with all its threads to the cores of list, which is in taskset's notation.
func pin(ctx context.Context, pid int, list string) error {
	out, err := exec.CommandContext(ctx, "taskset", "-a", "-c", "-p", list, fmt.Sprint(pid)).CombinedOutput()
	if err != nil {
		return fmt.Errorf("pin process %d to core %s: %w: %s", pid, list, err, out)
	}
	return nil
}

// stop ends the process group and waits for its leader. To have ended before is an error.
func (p *process) stop() error {
	select {
	case <-p.done:
		return p.ended()
	default:
	}
	if err := syscall.Kill(-p.handle.Pid, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("stop %s: %w", p.name, err)
	}
	late := time.NewTimer(stopPatience)
	defer late.Stop()
	select {
	case <-p.done:
	case <-late.C:
	}
	// Whoever is left of the group, be it the leader or a child that has outlived it.
	_ = syscall.Kill(-p.handle.Pid, syscall.SIGKILL)
	<-p.done
	return nil
}

// ended is the error of a server that nobody has stopped. REQUIRES: done is closed.
func (p *process) ended() error {
	status := "exit status 0"
	if p.err != nil {
		status = p.err.Error()
	}
	return fmt.Errorf("%s ended by itself, %s; its log says:\n%s", p.name, status, p.tail())
}

// tail is the end of the log, at most 2 KiB.
func (p *process) tail() string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(text[max(0, len(text)-2048):]))
}

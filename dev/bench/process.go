package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"walpurge/dev/subprocess"
)

// stopPatience is how long a server may take to end after SIGTERM.
const stopPatience = 5 * time.Second

// process is a server that was started here, with its process group.
type process struct {
	*subprocess.Process
	name string
	log  string // path
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
	// Not SIGKILL (M6): nginx would leave its workers behind.
	child, err := subprocess.Start(cmd, syscall.SIGTERM)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", program, err)
	}
	return &process{child, program, log}, nil
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
	if !p.Running() {
		return p.ended()
	}
	if err := syscall.Kill(-p.Handle.Pid, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("stop %s: %w", p.name, err)
	}
	p.Ended(stopPatience)
	// Whoever is left of the group, be it the leader or a child that has outlived it.
	_ = syscall.Kill(-p.Handle.Pid, syscall.SIGKILL)
	<-p.Done
	return nil
}

// ended is the error of a server that nobody has stopped. REQUIRES: Done is closed.
func (p *process) ended() error {
	return fmt.Errorf("%s ended by itself, %s; its log says:\n%s", p.name, p.Status(), p.tail())
}

// tail is the end of the log.
func (p *process) tail() string { return subprocess.Tail(p.log, 0) }

package testbed

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// process is a started child. Its goroutine collects the exit status; done is closed after that.
type process struct {
	handle *os.Process
	done   chan struct{}
	err    error // valid once done is closed; nil for exit status 0
}

// startProcess starts cmd so that the kernel sends it death when this process ends (B1).
//
// The kernel ties that signal to the thread that forked, not to the process. The goroutine therefore keeps its
// thread until the child is gone; the thread ends with the goroutine.
func startProcess(cmd *exec.Cmd, death syscall.Signal) (*process, error) {
	// Its own process group: Ctrl-C in a terminal goes to the parent alone, which stops its servers in order.
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	setDeathSignal(cmd.SysProcAttr, death)

	p := &process{done: make(chan struct{})}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		if err := cmd.Start(); err != nil {
			started <- err
			return
		}
		p.handle = cmd.Process
		started <- nil
		p.err = cmd.Wait()
		close(p.done)
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// running reports whether the child has not been collected yet.
func (p *process) running() bool {
	if p == nil {
		return false
	}
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// signal sends sig; a child that has ended is no error.
func (p *process) signal(sig os.Signal) error {
	if !p.running() {
		return nil
	}
	if err := p.handle.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signal process %d: %w", p.handle.Pid, err)
	}
	return nil
}

// stop sends sig and waits until the child is gone, at most patience. It wakes a paused child, which would keep the
// signal pending for ever otherwise.
func (p *process) stop(sig syscall.Signal, patience time.Duration) error {
	if !p.running() {
		return nil
	}
	if err := p.signal(sig); err != nil {
		return err
	}
	if err := p.signal(syscall.SIGCONT); err != nil {
		return err
	}
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case <-p.done:
		return nil
	case <-late.C:
		return fmt.Errorf("process %d still runs %s after signal %q", p.handle.Pid, patience, sig)
	}
}

// run starts cmd and waits for its end; it kills it when ctx ends first.
func run(ctx context.Context, cmd *exec.Cmd) error {
	p, err := startProcess(cmd, syscall.SIGKILL)
	if err != nil {
		return err
	}
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
		return errors.Join(ctx.Err(), p.stop(syscall.SIGKILL, time.Minute))
	}
}

// Package subprocess starts programs that end with the one that has started
// them, however that ends.
package subprocess

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

// Process is a started child. A nil one is not running.
type Process struct {
	Handle *os.Process
	Done   <-chan struct{} // closed once the exit status has been collected
	err    error           // valid once Done is closed; nil for exit status 0
}

// Start starts cmd so that the kernel sends it death when this process ends.
//
// The kernel ties that signal to the thread that forked, not to the process. A
// goroutine therefore keeps its thread until the child is gone; the thread ends
// with the goroutine.
func Start(cmd *exec.Cmd, death syscall.Signal) (*Process, error) {
	// Its own process group: Ctrl-C in a terminal goes to the parent alone, which stops its children in order.
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	setDeathSignal(cmd.SysProcAttr, death)

	done := make(chan struct{})
	p := &Process{Done: done}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		if err := cmd.Start(); err != nil {
			started <- err
			return
		}
		p.Handle = cmd.Process
		started <- nil
		p.err = cmd.Wait()
		close(done)
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// Err is nil for exit status 0. REQUIRES: Done is closed.
func (p *Process) Err() error { return p.err }

// Status is how the child has ended, in words. REQUIRES: Done is closed.
func (p *Process) Status() string {
	if p.err != nil {
		return p.err.Error()
	}
	return "exit status 0"
}

// Running reports whether the child has not been collected yet.
func (p *Process) Running() bool {
	if p == nil {
		return false
	}
	select {
	case <-p.Done:
		return false
	default:
		return true
	}
}

// Signal sends sig; a child that has ended is no error.
func (p *Process) Signal(sig os.Signal) error {
	if !p.Running() {
		return nil
	}
	if err := p.Handle.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signal process %d: %w", p.Handle.Pid, err)
	}
	return nil
}

// Ended waits until the child is gone, at most patience, and reports whether
// it is.
func (p *Process) Ended(patience time.Duration) bool {
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case <-p.Done:
		return true
	case <-late.C:
		return false
	}
}

// Stop sends sig and waits until the child is gone, at most patience. It wakes
// a paused child, which would keep the signal pending for ever otherwise.
func (p *Process) Stop(sig syscall.Signal, patience time.Duration) error {
	if !p.Running() {
		return nil
	}
	if err := p.Signal(sig); err != nil {
		return err
	}
	if err := p.Signal(syscall.SIGCONT); err != nil {
		return err
	}
	if !p.Ended(patience) {
		return fmt.Errorf("process %d still runs %s after signal %q", p.Handle.Pid, patience, sig)
	}
	return nil
}

// Run starts cmd and waits for its end; it kills it when ctx ends first.
func Run(ctx context.Context, cmd *exec.Cmd) error {
	p, err := Start(cmd, syscall.SIGKILL)
	if err != nil {
		return err
	}
	select {
	case <-p.Done:
		return p.err
	case <-ctx.Done():
		return errors.Join(ctx.Err(), p.Stop(syscall.SIGKILL, time.Minute))
	}
}

package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// stopPatience is how long a child may take to end after SIGTERM: longer than the drain limits of origin and proxy.
const stopPatience = 20 * time.Second

// child is a program that the demo has started, with its log.
type child struct {
	name   string
	log    string // path
	handle *os.Process
	done   chan struct{} // closed once the exit status has been collected
	err    error         // valid once done is closed; nil for exit status 0
}

// startChild starts a program whose output goes to the file log, which it empties.
func startChild(log, program string, args ...string) (*child, error) {
	file, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = file, file
	// A process group of its own: Ctrl-C in a terminal goes to the demo alone, which stops its children in order.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	setDeathSignal(cmd.SysProcAttr) // D1

	c := &child{name: strings.Join(append([]string{filepath.Base(program)}, args[:min(1, len(args))]...), " "), log: log, done: make(chan struct{})}
	started := make(chan error)
	go func() {
		// The kernel ties the death signal to the thread that forked, not to the process. So the goroutine keeps its
		// thread until the child is gone.
		runtime.LockOSThread()
		if err := cmd.Start(); err != nil {
			started <- err
			return
		}
		c.handle = cmd.Process
		started <- nil
		c.err = cmd.Wait()
		close(c.done)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", c.name, err)
	}
	return c, nil
}

// failed is why the child has ended although nobody stopped it, with the end of its log. REQUIRES: done is closed.
func (c *child) failed() error {
	status := "exit status 0"
	if c.err != nil {
		status = c.err.Error()
	}
	return fmt.Errorf("%s ended by itself: %s; the end of %s:\n%s", c.name, status, c.log, tail(c.log))
}

// watch returns an error if the child ends before ctx does.
func (c *child) watch(ctx context.Context) error {
	select {
	case <-c.done:
		return c.failed()
	case <-ctx.Done():
		return nil
	}
}

// stop asks the child to end and waits for it. A child that doesn't end in time is killed, and one that was asked to
// end and reports failure is an error.
func (c *child) stop() error {
	select {
	case <-c.done:
		return nil // watch has told
	default:
	}
	if err := c.handle.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop %s: %w", c.name, err)
	}
	late := time.NewTimer(stopPatience)
	defer late.Stop()
	select {
	case <-c.done:
	case <-late.C:
		_ = c.handle.Kill()
		<-c.done
		return fmt.Errorf("%s was still there %s after SIGTERM and had to be killed; the end of %s:\n%s", c.name, stopPatience, c.log, tail(c.log))
	}
	if c.err != nil {
		return fmt.Errorf("%s did not stop in order: %w; the end of %s:\n%s", c.name, c.err, c.log, tail(c.log))
	}
	return nil
}

// runChild runs a program to its end; it is killed when ctx ends first.
func runChild(ctx context.Context, log, program string, args ...string) error {
	c, err := startChild(log, program, args...)
	if err != nil {
		return err
	}
	select {
	case <-c.done:
	case <-ctx.Done():
		_ = c.handle.Kill()
		<-c.done
		return ctx.Err()
	}
	if c.err != nil {
		return fmt.Errorf("%s: %w; the end of %s:\n%s", c.name, c.err, log, tail(log))
	}
	return nil
}

const tailBytes = 2048

// tail is the end of a log, at most 2 KiB, beginning at a line.
func tail(path string) string {
	file, err := os.Open(path)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		return err.Error()
	}
	from := max(0, info.Size()-tailBytes)
	data, err := io.ReadAll(io.NewSectionReader(file, from, info.Size()-from))
	if err != nil {
		return err.Error()
	}
	text := string(data)
	if _, rest, cut := strings.Cut(text, "\n"); cut && from > 0 {
		text = rest
	}
	if text = strings.TrimSpace(text); text == "" {
		return "(it is empty)"
	}
	return text
}

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"walpurge/dev/subprocess"
)

// stopPatience is how long a child may take to end after SIGTERM: longer than the drain limits of origin and proxy.
const stopPatience = 20 * time.Second

// child is a program that the demo has started, with its log.
type child struct {
	*subprocess.Process
	name string
	log  string // path
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
	c := &child{name: strings.Join(append([]string{filepath.Base(program)}, args[:min(1, len(args))]...), " "), log: log}
	if c.Process, err = subprocess.Start(cmd, syscall.SIGKILL); err != nil { // D1
		return nil, fmt.Errorf("start %s: %w", c.name, err)
	}
	return c, nil
}

// failed is why the child has ended although nobody stopped it, with the end of its log. REQUIRES: done is closed.
func (c *child) failed() error {
	return fmt.Errorf("%s ended by itself: %s; the end of %s:\n%s", c.name, c.Status(), c.log, tail(c.log))
}

// watch returns an error if the child ends before ctx does.
func (c *child) watch(ctx context.Context) error {
	select {
	case <-c.Done:
		return c.failed()
	case <-ctx.Done():
		return nil
	}
}

// stop asks the child to end and waits for it. A child that doesn't end in time is killed, and one that was asked to
// end and reports failure is an error.
func (c *child) stop() error {
	if !c.Running() {
		return nil // watch has told
	}
	if err := c.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("stop %s: %w", c.name, err)
	}
	if !c.Ended(stopPatience) {
		_ = c.Handle.Kill()
		<-c.Done
		return fmt.Errorf("%s was still there %s after SIGTERM and had to be killed; the end of %s:\n%s", c.name, stopPatience, c.log, tail(c.log))
	}
	if err := c.Err(); err != nil {
		return fmt.Errorf("%s did not stop in order: %w; the end of %s:\n%s", c.name, err, c.log, tail(c.log))
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
	case <-c.Done:
	case <-ctx.Done():
		_ = c.Handle.Kill()
		<-c.Done
		return ctx.Err()
	}
	if err := c.Err(); err != nil {
		return fmt.Errorf("%s: %w; the end of %s:\n%s", c.name, err, log, tail(log))
	}
	return nil
}

// tail is the end of a log.
func tail(path string) string {
	if text := subprocess.Tail(path, 0); text != "" {
		return text
	}
	return "(it is empty)"
}

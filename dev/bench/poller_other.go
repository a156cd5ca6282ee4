//go:build !linux

package main

import (
	"errors"
	"time"
)

// errLinux ends a run on another system: CPU times are read from Linux's /proc anyway.
var errLinux = errors.New("the benchmarks need Linux")

// errAgain says that a connection has nothing to read.
var errAgain = errors.New("try again")

type poller struct{}

func newPoller() (*poller, error)                { return nil, errLinux }
func (*poller) connect(string, int) (int, error) { return 0, errLinux }
func (*poller) wait(time.Duration) (int, error)  { return 0, errLinux }
func (*poller) ready(int) int                    { return 0 }
func (*poller) close() error                     { return nil }
func rawRead(int, []byte) (int, error)           { return 0, errLinux }
func rawWrite(int, []byte) (int, error)          { return 0, errLinux }
func acknowledge(int) error                      { return errLinux }
func closeSocket(int)                            {}
func sharpTimers() error                         { return errLinux }
func raiseFiles() (int, error)                   { return 0, errLinux }

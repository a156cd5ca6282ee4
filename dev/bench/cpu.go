package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// tick is the unit of CPU times in /proc, 1/USER_HZ. Linux shows 100 to programs on every architecture that Go runs on
// (proc_pid_stat(5), sysconf(3)).
const tick = 10 * time.Millisecond

// groupCPU is the CPU time, user and system, that the processes of a group and their ended children have used (M3).
func groupCPU(group int) (time.Duration, error) {
	paths, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, err
	}
	var sum time.Duration
	found := false
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue // ended meanwhile
		}
		if err != nil {
			return 0, err
		}
		s, err := parseStat(text)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", path, err)
		}
		if s.group != group {
			continue
		}
		own, err := processCPU(s.pid)
		if errors.Is(err, syscall.EINVAL) {
			continue // so has this one
		}
		if err != nil {
			return 0, fmt.Errorf("the CPU clock of process %d: %w", s.pid, err)
		}
		sum += own + time.Duration(s.ended)*tick
		found = true
	}
	if !found {
		return 0, fmt.Errorf("there is no process of group %d", group)
	}
	return sum, nil
}

// processCPU is what a process has used itself, in nanoseconds: the clock that clock_getcpuclockid(3) names.
func processCPU(pid int) (time.Duration, error) {
	const scheduler = 2 // what the scheduler has measured, not what ticks have sampled
	var t unix.Timespec
	err := unix.ClockGettime(int32(^pid<<3|scheduler), &t)
	return time.Duration(t.Nano()), err
}

type stat struct {
	pid, group int
	ended      int64 // ticks of ended children: cutime and cstime
}

// parseStat reads a line of /proc/PID/stat. The program's name, in parentheses, may hold anything.
func parseStat(text []byte) (stat, error) {
	var s stat
	end := bytes.LastIndexByte(text, ')')
	fields := bytes.Fields(text[end+1:])
	// Numbered as in proc_pid_stat(5), the first field here is 3.
	const state, pgrp, cutime, cstime = 3, 5, 16, 17
	if end < 0 || len(fields) <= cstime-state {
		return s, errors.New("too few fields")
	}
	pid, _, _ := bytes.Cut(text, []byte(" "))
	var err error
	if s.pid, err = strconv.Atoi(string(pid)); err != nil {
		return s, err
	}
	if s.group, err = strconv.Atoi(string(fields[pgrp-state])); err != nil {
		return s, err
	}
	for _, field := range fields[cutime-state : cstime-state+1] {
		n, err := strconv.ParseInt(string(field), 10, 64)
		if err != nil {
			return s, err
		}
		s.ended += n
	}
	return s, nil
}

// threadWaited is how long the calling thread has waited for a core so far,
// while others ran there.
func threadWaited() (time.Duration, error) {
	text, err := os.ReadFile("/proc/thread-self/schedstat")
	if err != nil {
		return 0, fmt.Errorf("ask how long the load generator has waited for its core: %w", err)
	}
	var ran, waited, turns int64
	if _, err := fmt.Sscan(string(text), &ran, &waited, &turns); err != nil {
		return 0, fmt.Errorf("read /proc/thread-self/schedstat: %w", err)
	}
	return time.Duration(waited), nil
}

package main

import (
	"errors"
	"fmt"
	"net/netip"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// poller waits for many connections in one system call. Its reads and writes go to the kernel directly: at a hundred
// thousand requests a second, what the runtime does around a system call is a large part of a generator's time.
type poller struct {
	fd     int
	events [256]unix.EpollEvent
}

func newPoller() (*poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make an epoll instance: %w", err)
	}
	return &poller{fd: fd}, nil
}

// connect opens a connection whose readiness wait reports as index.
func (p *poller) connect(address string, index int) (fd int, err error) {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return 0, err
	}
	if fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err != nil {
		return 0, fmt.Errorf("make a socket: %w", err)
	}
	err = errors.Join(
		unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1),
		unix.Connect(fd, &unix.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()}),
		unix.SetNonblock(fd, true),
		unix.EpollCtl(p.fd, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(index)}),
	)
	if err != nil {
		_ = unix.Close(fd)
		return 0, fmt.Errorf("connect to %s: %w", address, err)
	}
	return fd, nil
}

// wait returns how many connections are ready, after at most timeout; 0 doesn't wait.
func (p *poller) wait(timeout time.Duration) (int, error) {
	var n uintptr
	var errno unix.Errno
	events := uintptr(unsafe.Pointer(&p.events[0]))
	limit := unix.NsecToTimespec(max(0, timeout.Nanoseconds()))
	if timeout <= 0 {
		n, _, errno = unix.RawSyscall6(unix.SYS_EPOLL_PWAIT2, uintptr(p.fd), events, uintptr(len(p.events)), uintptr(unsafe.Pointer(&limit)), 0, 0)
	} else {
		n, _, errno = unix.Syscall6(unix.SYS_EPOLL_PWAIT2, uintptr(p.fd), events, uintptr(len(p.events)), uintptr(unsafe.Pointer(&limit)), 0, 0)
	}
	switch errno {
	case 0:
		return int(n), nil
	case unix.EINTR:
		return 0, nil
	}
	return 0, fmt.Errorf("wait for answers: %w", errno)
}

// ready is the index of the i-th connection that wait found ready.
func (p *poller) ready(i int) int { return int(p.events[i].Fd) }

func (p *poller) close() error { return unix.Close(p.fd) }

// errAgain says that a connection has nothing to read.
var errAgain error = unix.EAGAIN

func rawRead(fd int, into []byte) (int, error) {
	n, _, errno := unix.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&into[0])), uintptr(len(into)))
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

func rawWrite(fd int, bytes []byte) (int, error) {
	n, _, errno := unix.RawSyscall(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(&bytes[0])), uintptr(len(bytes)))
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// acknowledge tells the server at once what has arrived. Left to itself, the kernel waits up to 40 ms with that, for as
// long as less than two segments have come, and on the loopback device a segment has 64 KiB: a server whose buffer is
// smaller would wait, and its throughput would be the kernel's timer's.
func acknowledge(fd int) error {
	return unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_QUICKACK, 1)
}

func closeSocket(fd int) { _ = unix.Close(fd) }

// sharpTimers has the kernel end this thread's waits on time, and not up to 50 µs later.
func sharpTimers() error { return unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0) }

// raiseFiles sets the limit of open files to what this user may have at most, for this process and its children.
func raiseFiles() (limit int, err error) {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
		return 0, err
	}
	l.Cur = l.Max
	return int(l.Cur), unix.Setrlimit(unix.RLIMIT_NOFILE, &l)
}

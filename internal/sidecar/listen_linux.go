package sidecar

import (
	"context"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// reusePort lets several processes listen on one port. The kernel spreads new
// connections over them.
func reusePort(_, _ string, c syscall.RawConn) error {
	var err error
	controlErr := c.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
	})
	if controlErr != nil {
		return controlErr
	}
	return err
}

// Pace and bound of the wait until a port's queue is empty.
const (
	queueLook  = 5 * time.Millisecond
	queueCalm  = 5 // looks in a row that find nothing
	queueBound = time.Second
)

// leavePort hands a port that is shared by SO_REUSEPORT over to the other
// process and waits until what the kernel has queued for this one is
// accepted. Closing the socket with a queue would reset those connections.
//
// The sockets of a port are numbered in the order in which they were opened,
// and the program here chooses the second: the successor's. Where there is no
// second one, the kernel goes on as if there were no program.
func leavePort(ctx context.Context, ln net.Listener) {
	tcp, ok := ln.(*net.TCPListener)
	if !ok {
		return
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return
	}
	second := unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: 1}
	_ = raw.Control(func(fd uintptr) {
		// Should the kernel refuse, connections go on being spread: the wait below
		// still ends with most of them accepted.
		_ = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_REUSEPORT_CBPF, &unix.SockFprog{Len: 1, Filter: &second})
	})
	ctx, cancel := context.WithTimeout(ctx, queueBound)
	defer cancel()
	tick := time.NewTicker(queueLook)
	defer tick.Stop()
	for calm := 0; calm < queueCalm; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		calm++
		_ = raw.Control(func(fd uintptr) {
			// Of a socket that listens this is the length of its queue.
			if info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil && info.Unacked > 0 {
				calm = 0
			}
		})
	}
}

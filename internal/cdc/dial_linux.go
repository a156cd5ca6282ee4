package cdc

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// userTimeout makes the kernel give a connection up when what was sent has
// not been acknowledged for that long.
func userTimeout(_, _ string, raw syscall.RawConn) error {
	var failed error
	err := raw.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(deadPeer.Milliseconds()))
	})
	if err != nil {
		return err
	}
	return failed
}

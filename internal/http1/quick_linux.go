//go:build !race

package http1

import (
	"syscall"
	"unsafe"
)

const quickly = true

// readNow and writeNow are one system call each on a socket that doesn't
// block, so the scheduler need not be told of them. A socket's own calls are
// shorter than read and write, which serve all kinds of files.

func readNow(fd int, p []byte) (int, syscall.Errno) { return now(syscall.SYS_RECVFROM, fd, p, 0) }

func writeNow(fd int, p []byte) (int, syscall.Errno) {
	return now(syscall.SYS_SENDTO, fd, p, syscall.MSG_NOSIGNAL)
}

func now(call uintptr, fd int, p []byte, flags uintptr) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall6(call, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), flags, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

//go:build race

package http1

import (
	"errors"
	"syscall"
)

const quickly = true

// The race detector takes what is written to a socket and read from another as
// an order between the two, if it is told of the calls.

func readNow(fd int, p []byte) (int, syscall.Errno) { return told(syscall.Read(fd, p)) }

func writeNow(fd int, p []byte) (int, syscall.Errno) { return told(syscall.Write(fd, p)) }

func told(n int, err error) (int, syscall.Errno) {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return 0, errno
	}
	return n, 0
}

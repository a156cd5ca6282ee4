//go:build !linux

package http1

import "syscall"

const quickly = false

func readNow(int, []byte) (int, syscall.Errno) { return 0, syscall.ENOSYS }

func writeNow(int, []byte) (int, syscall.Errno) { return 0, syscall.ENOSYS }

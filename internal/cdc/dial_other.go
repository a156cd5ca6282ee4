//go:build !linux

package cdc

import "syscall"

// userTimeout has no equivalent here: keepalives have to do.
func userTimeout(_, _ string, _ syscall.RawConn) error { return nil }

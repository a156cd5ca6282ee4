//go:build !linux

package primary

import (
	"syscall"
	"time"
)

// userTimeout has no equivalent here: keepalives have to do.
func userTimeout(_ syscall.RawConn, _ time.Duration) error { return nil }

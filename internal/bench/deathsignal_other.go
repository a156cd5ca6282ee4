//go:build unix && !linux

package bench

import "syscall"

// setDeathSignal does nothing: this system has no such signal, and no /proc to measure by either.
func setDeathSignal(*syscall.SysProcAttr) {}

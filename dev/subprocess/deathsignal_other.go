//go:build unix && !linux

package subprocess

import "syscall"

// setDeathSignal does nothing: this system has no such signal, and a killed program leaves its children running.
func setDeathSignal(*syscall.SysProcAttr, syscall.Signal) {}

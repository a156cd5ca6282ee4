//go:build unix && !linux

package testbed

import "syscall"

// setDeathSignal does nothing: this system has no such signal, and a killed test leaves its servers running.
func setDeathSignal(*syscall.SysProcAttr, syscall.Signal) {}

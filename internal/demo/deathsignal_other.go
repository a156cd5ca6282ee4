//go:build unix && !linux

package demo

import "syscall"

// setDeathSignal does nothing: this system has no such signal, and a killed demo leaves its children running.
func setDeathSignal(*syscall.SysProcAttr) {}

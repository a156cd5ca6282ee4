package subprocess

import "syscall"

// setDeathSignal asks for sig when the forking thread ends, see prctl(2), PR_SET_PDEATHSIG.
func setDeathSignal(attr *syscall.SysProcAttr, sig syscall.Signal) { attr.Pdeathsig = sig }

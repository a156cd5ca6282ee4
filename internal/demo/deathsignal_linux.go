package demo

import "syscall"

// setDeathSignal asks for SIGKILL when the forking thread ends, see prctl(2), PR_SET_PDEATHSIG.
func setDeathSignal(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGKILL }

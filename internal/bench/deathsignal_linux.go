package bench

import "syscall"

// setDeathSignal asks for SIGTERM when the forking thread ends, see prctl(2), PR_SET_PDEATHSIG. Not SIGKILL: nginx would
// leave its workers behind.
func setDeathSignal(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGTERM }

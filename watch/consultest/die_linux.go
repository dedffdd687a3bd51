package consultest

import "syscall"

// dieWithParent ends an agent whose test was killed.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}

package render

import "syscall"

// endWithUs puts a supervised program into a process group of its own, and has the kernel end it when we are killed.
func endWithUs() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}

//go:build !linux

package render

import "syscall"

// endWithUs puts a supervised program into a process group of its own.
func endWithUs() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

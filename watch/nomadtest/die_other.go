//go:build !linux

package nomadtest

import "syscall"

func dieWithParent() *syscall.SysProcAttr { return nil }

package render

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// lockAs makes the thread of this goroutine, which ends with it, somebody else where files are concerned.
func lockAs(uid int) {
	runtime.LockOSThread()
	_, _, _ = unix.RawSyscall(unix.SYS_SETFSGID, uintptr(uid), 0, 0)
	_, _, _ = unix.RawSyscall(unix.SYS_SETFSUID, uintptr(uid), 0, 0)
}

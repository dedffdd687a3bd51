package dockertest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// inside is set in the environment of a test program that runs in namespaces of its own, to a name for its control groups.
const inside = "RENDER_TEST_NAMESPACES"

// Main is the TestMain of a package with tests that need Docker, or the usual ports on loopback. It runs the test program again, as
// process 1 of namespaces of its own for processes, mounts and the network, and exits. When that process ends, all that it has started
// ends. An ordinary user gets them in a namespace of users, where the machine allows that; otherwise the tests run as usual, and Isolated
// skips those that need namespaces.
func Main(m *testing.M) {
	if os.Getenv(inside) != "" {
		if err := prepare(); err != nil {
			fmt.Fprintln(os.Stderr, "namespaces:", err)
			os.Exit(1)
		}
		os.Exit(m.Run())
	}
	if code, err := again(); err == nil {
		os.Exit(code)
	} else if os.Getuid() == 0 {
		fmt.Fprintln(os.Stderr, "namespaces:", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// Isolated skips a test that does not run in namespaces of its own.
func Isolated(t *testing.T) {
	t.Helper()
	if os.Getenv(inside) == "" {
		t.Skip("needs namespaces of its own, for which this machine wants root")
	}
}

// again runs the test program in namespaces of its own and returns its exit code, or why it cannot.
func again() (int, error) {
	group := fmt.Sprintf("render-test-%d", os.Getpid())
	defer removeGroups(group)
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), inside+"="+group)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWIPC,
		Pdeathsig:  syscall.SIGKILL,
	}
	if uid, gid := os.Getuid(), os.Getgid(); uid != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: uid, HostID: uid, Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: gid, HostID: gid, Size: 1}}
		cmd.SysProcAttr.AmbientCaps = []uintptr{unix.CAP_SYS_ADMIN, unix.CAP_NET_ADMIN} // for prepare
	}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	err := cmd.Wait()
	if exit := new(exec.ExitError); errors.As(err, &exit) {
		return max(exit.ExitCode(), 1), nil
	}
	return 0, err
}

// prepare makes new namespaces fit for use: mounts do not reach the machine, /proc shows the processes of here, loopback is up.
func prepare() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("private mounts: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(socket)
	loopback, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	loopback.SetUint16(unix.IFF_UP)
	if err := unix.IoctlIfreq(socket, unix.SIOCSIFFLAGS, loopback); err != nil {
		return fmt.Errorf("loopback: %w", err)
	}
	return nil
}

// removeGroups removes the control groups of containers. Their processes have ended with their namespace; the kernel may need a moment
// to notice that.
func removeGroups(name string) {
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		left := 0
		for _, pattern := range []string{"/sys/fs/cgroup/", "/sys/fs/cgroup/*/"} {
			for _, below := range []string{"/*/*", "/*", ""} {
				found, _ := filepath.Glob(pattern + name + below)
				for _, path := range found {
					if errors.Is(unix.Rmdir(path), unix.EBUSY) { // files in a group end with it
						left++
					}
				}
			}
		}
		if left == 0 {
			return
		}
	}
}

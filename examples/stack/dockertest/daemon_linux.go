package dockertest

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A Daemon is a running Docker daemon with a socket and folders of its own.
type Daemon struct {
	Host string // for DOCKER_HOST

	dir    string
	cmd    *exec.Cmd
	ended  chan struct{} // closed when the process has ended
	output bytes.Buffer  // after ended: what it printed
}

// Start starts a Docker daemon, and sets DOCKER_HOST for the test. The daemon ends with the test. Start skips a test that may not or
// cannot run one.
func Start(t *testing.T) *Daemon {
	t.Helper()
	Isolated(t)
	if why := Missing(); why != "" {
		t.Skip(why)
	}
	// A path of a socket has at most 107 bytes.
	dir, err := os.MkdirTemp("", "docker")
	if err != nil {
		t.Fatal(err)
	}
	d := &Daemon{Host: "unix://" + filepath.Join(dir, "docker.sock"), dir: dir}
	t.Setenv("DOCKER_HOST", d.Host)
	t.Cleanup(func() {
		d.Stop()
		if t.Failed() {
			t.Logf("dockerd printed:\n%s", lastLines(d.output.String(), 40))
		}
		d.removeFolders(t)
	})
	if err := d.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	return d
}

// Missing returns why no Docker daemon can run here, or nothing.
func Missing() string {
	if os.Getuid() != 0 {
		return "needs root, for a Docker daemon"
	}
	for _, program := range []string{"dockerd", "docker"} {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Sprintf("needs %s: run `make docker` once", program)
		}
	}
	return ""
}

// Restart starts the daemon after Stop, with the data that it had.
func (d *Daemon) Restart(ctx context.Context) error {
	_ = os.Remove(filepath.Join(d.dir, "docker.pid"))
	d.cmd = exec.Command("dockerd", "--host="+d.Host,
		"--data-root="+filepath.Join(d.dir, "data"), "--exec-root="+filepath.Join(d.dir, "exec"), "--pidfile="+filepath.Join(d.dir, "docker.pid"),
		"--cgroup-parent=/"+os.Getenv(inside), "--exec-opt=native.cgroupdriver=cgroupfs", // systemd would want a slice of its own
		"--iptables=false", "--ip6tables=false", "--ip-masq=false",
		"--shutdown-timeout=2", "--log-level=warn")
	d.output.Reset()
	d.cmd.Stdout, d.cmd.Stderr = &d.output, &d.output
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := d.cmd.Start(); err != nil {
		return fmt.Errorf("start dockerd: %w", err)
	}
	d.ended = make(chan struct{})
	go func() {
		_ = d.cmd.Wait()
		close(d.ended)
	}()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		if err := exec.CommandContext(ctx, "docker", "-H", d.Host, "version").Run(); err == nil {
			return nil
		}
		select {
		case <-d.ended:
			return fmt.Errorf("dockerd has ended: %s", d.output.String())
		case <-ctx.Done():
			return fmt.Errorf("dockerd did not answer: %w", ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// Stop ends the daemon and all of its containers, and waits for their end.
func (d *Daemon) Stop() {
	_ = d.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-d.ended:
	case <-time.After(20 * time.Second):
		_ = d.cmd.Process.Kill()
		<-d.ended
	}
}

// removeFolders removes the daemon's folders, and first what may still be mounted there.
func (d *Daemon) removeFolders(t *testing.T) {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Error(err)
	}
	lines := strings.Split(string(mounts), "\n")
	for i := len(lines) - 1; i >= 0; i-- {
		if fields := strings.Fields(lines[i]); len(fields) > 1 && strings.HasPrefix(fields[1], d.dir+"/") {
			_ = syscall.Unmount(fields[1], syscall.MNT_DETACH)
		}
	}
	if err := os.RemoveAll(d.dir); err != nil {
		t.Error(err)
	}
}

// Docker runs a command of docker and returns what it prints, without whitespace at its ends. It works in a Cleanup, too.
func Docker(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command("docker", args...)
	var problems bytes.Buffer
	cmd.Stderr = &problems
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("docker %s: %v: %s%s", strings.Join(args, " "), err, out, &problems)
	}
	return strings.TrimSpace(string(out))
}

// Import makes an image of files, by their path in the image, and of more instructions of a Dockerfile.
func Import(t *testing.T, name string, files map[string]string, instructions ...string) {
	t.Helper()
	args := []string{"import"}
	for _, i := range instructions {
		args = append(args, "--change", i)
	}
	cmd := exec.CommandContext(t.Context(), "docker", append(args, "-", name)...)
	input, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	err = archive(input, files)
	if ended := cmd.Wait(); err != nil || ended != nil {
		t.Fatalf("docker import %s: %v, %v: %s", name, err, ended, &output)
	}
}

// archive writes files of this machine into a tar archive, as programs that everybody may run.
func archive(w io.WriteCloser, files map[string]string) error {
	defer w.Close()
	out := tar.NewWriter(w)
	for path, source := range files {
		text, err := os.ReadFile(source)
		if err != nil {
			return err
		}
		header := &tar.Header{Name: strings.TrimPrefix(path, "/"), Mode: 0o755, Size: int64(len(text)), Typeflag: tar.TypeReg}
		if err := out.WriteHeader(header); err != nil {
			return err
		}
		if _, err := out.Write(text); err != nil {
			return err
		}
	}
	return out.Close()
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

package commit

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"render/render/disk"
	"render/render/run"

	"render/watch/hint"
)

// dirVariable in the environment says that a test runs as another user, and in which folder.
const dirVariable = "RENDER_TEST_DIR"

// asNobody runs a test as another user, in a process of its own. isNobody is true in that process. In the process of root
// asNobody prepares a place, and returns when the other process has passed the test.
func asNobody(t *testing.T, prepare func(p place)) (p place, isNobody bool) {
	t.Helper()
	if dir := os.Getenv(dirVariable); dir != "" {
		return place{t, dir}, true
	}
	if os.Geteuid() != 0 {
		t.Skip("only root can become somebody else")
	}
	p = newPlace(t)
	prepare(p)
	p.must(os.Chmod(filepath.Dir(p.dir), 0o755))

	// The program of the tests is in a folder that others cannot enter.
	self, err := os.Open("/proc/self/exe")
	p.must(err)
	defer self.Close()
	program := p.dir + ".test"
	file, err := os.OpenFile(program, os.O_CREATE|os.O_WRONLY, 0o755)
	p.must(err)
	_, err = io.Copy(file, self)
	p.must(errors.Join(err, file.Close(), os.Chmod(program, 0o755)))
	defer os.Remove(program)

	pattern := "^" + strings.ReplaceAll(t.Name(), "/", "$/^") + "$"
	cmd := exec.Command(program, "-test.run="+pattern, "-test.v")
	cmd.Env = append(os.Environ(), dirVariable+"="+p.dir, "GOCOVERDIR="+p.dir)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	output, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(output), "--- PASS: "+t.Name()) {
		t.Fatalf("as another user: %v\n%s", err, output)
	}
	return p, false
}

func TestNotAllowed(t *testing.T) {
	t.Run("folder", func(t *testing.T) {
		p, isNobody := asNobody(t, func(p place) { p.must(os.Chmod(p.dir, 0o755)) })
		if !isNobody {
			p.want(map[string]string{})
			return
		}
		for _, command := range []run.Command{{}, {Shell: ":"}} {
			r := p.commit(command, map[string]string{"out": "new"})
			err := r.Failed[p.path("out")]
			if err == nil || !strings.Contains(hint.Text(err), "permission denied\nhint: give render the right to write to the folder") {
				t.Errorf("got %v", err)
			}
		}
	})
	t.Run("a folder that may be written, and not read", func(t *testing.T) {
		p, isNobody := asNobody(t, func(p place) { p.must(os.Chmod(p.dir, 0o333)) })
		if !isNobody {
			p.want(map[string]string{"out": "newer"})
			return
		}
		for _, contents := range []string{"new", "newer"} {
			r := p.commit(run.Command{Shell: ":"}, map[string]string{"out": contents})
			if r.Err != nil || len(r.Failed) > 0 || len(r.Warnings) > 0 || r.Pending {
				t.Errorf("got %+v", r)
			}
		}
	})
	t.Run("owner", func(t *testing.T) {
		p, isNobody := asNobody(t, func(p place) {
			p.must(os.Chmod(p.dir, 0o777))
			p.must(os.Chown(p.write("kept", "old", 0o644), 65533, 65533))
		})
		if !isNobody {
			p.want(map[string]string{"kept": "new"})
			return
		}
		plan := p.plan(Action{}, map[string]string{"asked": "new", "kept": "new"})
		plan.Files[0].Options = disk.Options{User: "65533"}
		r := p.do(plan)
		if r.Err != nil {
			t.Error(r.Err)
		}
		if err := r.Failed[p.path("asked")]; err == nil || !strings.Contains(err.Error(), "cannot change the owner") {
			t.Errorf("got %v", err)
		}
		if len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0], "cannot change the owner") {
			t.Errorf("warnings: %v", r.Warnings)
		}
	})

	t.Run("a file of somebody else in a sticky folder", func(t *testing.T) {
		p, isNobody := asNobody(t, func(p place) {
			p.must(os.Chmod(p.dir, 0o777|os.ModeSticky))
			p.must(os.Chown(p.write("theirs", "old", 0o666), 65533, 65533))
		})
		if !isNobody {
			p.want(map[string]string{"ours": "new", "theirs": "old"})
			return
		}
		r := p.commit(run.Command{Shell: "cd '" + p.dir + "'; grep -q new ours"}, map[string]string{"ours": "new", "theirs": "new"})
		if r.Err != nil || r.Failed[p.path("theirs")] == nil || r.Pending || len(r.Debts) > 0 {
			t.Errorf("got %+v", r)
		}
	})
}

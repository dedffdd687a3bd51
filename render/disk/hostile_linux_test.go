package disk

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"render/render/disk/folder"

	"golang.org/x/sys/unix"
)

const attacker, bystander = 65534, 65533

// soakTime returns how long an attack goes on.
func soakTime(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv("RENDER_SOAK_TIME")
	if text == "" {
		return 3 * time.Second
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// A treasure is a folder outside of what the attacker may write to. Nothing in it may change.
type treasure struct {
	testPlace
	before map[string]string
}

func newTreasure(p testPlace) treasure {
	p.must(os.Mkdir(p.path("treasure"), 0o755))
	tr := treasure{testPlace: testPlace{p.t, p.path("treasure")}}
	tr.write("secret", "secret", 0o600)
	tr.write("public", "public", 0o644)
	tr.write("same", "new", 0o600) // as what is written
	_ = unix.Setxattr(tr.path("secret"), "user.render", []byte("value"), 0)
	tr.before = tr.look()
	return tr
}

// look returns all there is to know of the files, without times and the number of names.
func (tr treasure) look() map[string]string {
	tr.t.Helper()
	all := tr.files()
	for name := range all {
		info, stat := tr.stat(name)
		list := make([]byte, 1000)
		n, _ := unix.Llistxattr(tr.path(name), list)
		all[name] += fmt.Sprintf(" %v %d:%d %q", info.Mode(), stat.Uid, stat.Gid, list[:max(n, 0)])
	}
	info, stat := tr.stat("")
	all["."] = fmt.Sprintf("%v %d:%d", info.Mode(), stat.Uid, stat.Gid)
	return all
}

func (tr treasure) isUntouched() {
	tr.t.Helper()
	if after := tr.look(); fmt.Sprint(after) != fmt.Sprint(tr.before) {
		tr.t.Errorf("it was\n%q\nand is\n%q", tr.before, after)
	}
}

// attack runs a loop on a thread of the attacker until stop is called, which waits for it.
func attack(loop func()) (stop func()) {
	var stopping atomic.Bool
	done := make(chan bool)
	go func() {
		defer close(done)
		become(attacker)
		for !stopping.Load() {
			loop()
		}
	}()
	return func() {
		stopping.Store(true)
		<-done
	}
}

// exchange exchanges two names, or makes one of the other where that is all there is.
func exchange(a, b string) {
	if unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE) != nil {
		_ = unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_NOREPLACE)
	}
}

// victim plays batches with all options until a deadline; give says that files may be given to the attacker. It returns how
// many files were swapped, and how many failed.
func victim(t *testing.T, path string, until time.Time, give bool) (swaps, failures int) {
	var step atomic.Value
	step.Store("begin")
	beat := make(chan bool, 1)
	go func() {
		for {
			select {
			case _, ok := <-beat:
				if !ok {
					return
				}
			case <-time.After(20 * time.Second):
				buffer := make([]byte, 1<<20)
				panic(fmt.Sprintf("it hangs after %v\n%s", step.Load(), buffer[:runtime.Stack(buffer, true)]))
			}
		}
	}()
	defer close(beat)

	random := rand.New(rand.NewPCG(1, 2))
	pick := func(n int) bool { return random.IntN(n) == 0 }
	var debts []Debt
	for time.Now().Before(until) {
		select {
		case beat <- true:
		default:
		}
		w := Want{Path: path, Contents: []byte([]string{"new", "new", "newer", strings.Repeat("long", 5000)}[random.IntN(4)])}
		w.Options.Backup, w.Options.RefuseLinks, w.NoLinks = pick(3), pick(3), pick(3)
		if pick(2) {
			w.Options.Perms = []fs.FileMode{0o644, 0o666, 0o640}[random.IntN(3)]
		}
		if give && pick(3) {
			w.Options.User, w.Options.Group = fmt.Sprint(attacker), fmt.Sprint(attacker)
		}
		act := []func() error{nil, succeeds, fails, func() error {
			if pick(2) {
				return errAction
			}
			return nil
		}}[random.IntN(4)]
		o := commit(func(s string) {
			step.Store(s)
			if pick(20) {
				time.Sleep(time.Duration(random.IntN(1000)) * time.Microsecond)
			}
		}, act, debts, w)
		swaps += o.swapped()
		failures += len(o.failed)
		if debts = o.debts; pick(10) { // the next start
			debts, _ = Recall([]string{path})
		}
		if pick(5) {
			_, _ = Append(path, []byte("appended"), w.Options)
		}
		if x, err := Expect(path, w.Options, sha256.Sum256(w.Contents), int64(len(w.Contents))); err == nil {
			_, _ = x.Differs()
		}
		_, _ = folder.RealPath(path)
	}
	return swaps, failures
}

// Whatever the owner of a folder does there while root writes to it: nothing outside changes, nothing hangs, nobody dies.
func TestHostileFolder(t *testing.T) {
	mustBeRoot(t)
	p := newPlace(t)
	p.open(0o755)
	tr := newTreasure(p)
	p.must(os.Mkdir(p.path("home"), 0o755))
	home := testPlace{t, p.path("home")}
	p.must(os.MkdirAll(home.path("conf"), 0o755))
	p.must(os.MkdirAll(home.path("conf2"), 0o755))
	for _, dir := range []string{"conf", "conf2"} {
		in := testPlace{t, home.path(dir)}
		in.write("out", "new", 0o644)
		_ = unix.Setxattr(in.path("out"), accessList, accessListOf(6, 6, 6, attacker), 0)
		p.must(os.Symlink(tr.path("secret"), in.path("x-link")))
		p.must(os.Symlink(tr.path("same"), in.path("x-same")))
		p.must(os.Symlink(tr.path("none"), in.path("x-none")))
		p.must(os.Symlink("../conf/out", in.path("x-own")))
		p.must(os.Link(tr.path("secret"), in.path("x-hard")))
		p.must(os.Link(tr.path("same"), in.path("x-hard-same")))
		p.must(syscall.Mkfifo(in.path("x-pipe"), 0o666))
		p.must(os.Mkdir(in.path("x-folder"), 0o777))
		if err := syscall.Mknod(in.path("x-device"), syscall.S_IFCHR|0o666, 1<<8|3); err != nil {
			t.Logf("no device: %v", err)
		}
	}
	p.must(os.Symlink(tr.dir, home.path("treasure")))
	p.must(filepath.WalkDir(home.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || strings.HasPrefix(d.Name(), "x-hard") {
			return err
		}
		return os.Lchown(path, attacker, attacker)
	}))

	stop := attack(func() {
		for _, dir := range []string{"conf", "conf", "conf2"} {
			in := home.path(dir) + "/"
			names, _ := os.ReadDir(in)
			var decoys, ours []string
			for _, n := range names {
				if strings.HasPrefix(n.Name(), "x-") {
					decoys = append(decoys, in+n.Name())
				} else {
					ours = append(ours, in+n.Name())
				}
			}
			for _, our := range ours {
				if len(decoys) > 0 {
					exchange(our, decoys[rand.IntN(len(decoys))])
				}
			}
			switch rand.IntN(8) {
			case 0:
				exchange(home.path("conf"), home.path("treasure"))
				exchange(home.path("conf"), home.path("treasure"))
			case 1:
				exchange(home.path("conf"), home.path("conf2"))
			case 2: // now and then all is well for a moment
				if fd, err := unix.Open(in+"fresh", unix.O_CREAT|unix.O_WRONLY|unix.O_NONBLOCK, 0o600); err == nil {
					_, _ = unix.Write(fd, []byte("new"))
					_ = unix.Close(fd)
					_ = unix.Rename(in+"fresh", in+"out")
				}
				time.Sleep(time.Millisecond)
			case 3:
				for _, our := range ours {
					_ = unix.Rename(our, in+".render-out.owed")
				}
			}
		}
	})
	swaps, failures := victim(t, home.path("conf/out"), time.Now().Add(soakTime(t)), true)
	stop()
	t.Logf("%d swaps, %d failures", swaps, failures)
	if swaps == 0 || failures == 0 {
		t.Errorf("%d swaps, %d failures: that is no attack", swaps, failures)
	}
	tr.isUntouched()
}

// In a sticky folder an attacker makes all names that we might use. He gets none of his files in our place, whoever we are.
func TestHostileStickyFolder(t *testing.T) {
	mustBeRoot(t)
	for _, uid := range []int{0, bystander} {
		t.Run(fmt.Sprint("as user ", uid), func(t *testing.T) {
			p := newPlace(t)
			p.open(0o755)
			tr := newTreasure(p)
			p.must(os.Mkdir(p.path("tmp"), 0o777))
			p.must(os.Chmod(p.path("tmp"), 0o777|os.ModeSticky))
			tmp := testPlace{t, p.path("tmp")}
			tmp.write("out", "new", 0o644)
			tmp.chown("out", uid, uid)

			planted := func(name string) bool {
				switch rand.IntN(6) {
				case 0:
					return unix.Symlink(tr.path("secret"), name) == nil
				case 1:
					return unix.Mkfifo(name, 0o666) == nil
				case 2:
					return unix.Link(tmp.path("out"), name) == nil
				case 3:
					return unix.Mkdir(name, 0o777) == nil
				}
				fd, err := unix.Open(name, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY, 0o666)
				if err != nil {
					return false
				}
				_, _ = unix.Write(fd, []byte(markText+`{"name":"out","old":true}`+"\n"))
				_ = unix.Close(fd)
				return true
			}
			names := []string{"out", "out.bak", ".render-out.old", ".render-out.owed", ".render-out.bak", ".render-out-1"}
			stop := attack(func() {
				name := tmp.path(names[rand.IntN(len(names))])
				planted(name)
				exchange(name, tmp.path(names[rand.IntN(len(names))]))
				if rand.IntN(2) == 0 {
					_ = unix.Unlink(name)
					_ = unix.Rmdir(name)
				}
				if rand.IntN(50) == 0 { // room to work
					for _, name := range names {
						_ = unix.Unlink(tmp.path(name))
						_ = unix.Rmdir(tmp.path(name))
					}
					time.Sleep(time.Millisecond)
				}
			})
			var swaps, failures int
			done := make(chan bool)
			go func() {
				defer close(done)
				if uid != 0 {
					become(uid)
				}
				swaps, failures = victim(t, tmp.path("out"), time.Now().Add(soakTime(t)), false)
			}()
			<-done
			stop()
			t.Logf("%d swaps, %d failures", swaps, failures)
			if swaps == 0 {
				t.Error("nothing was swapped")
			}
			if _, stat := tmp.stat("out"); int(stat.Uid) != uid || stat.Mode&syscall.S_IFMT != syscall.S_IFREG {
				t.Errorf("the file belongs to %d, mode %o", stat.Uid, stat.Mode)
			}
			contents, err := os.ReadFile(tmp.path("out"))
			p.must(err)
			if left := strings.NewReplacer("newer", "", "new", "", "long", "", "appended", "").Replace(string(contents)); left != "" {
				t.Errorf("the file holds %q", contents)
			}
			tr.isUntouched()
		})
	}
}

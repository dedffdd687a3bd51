package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"render/watch/consultest"
)

func testConsul(t *testing.T) *consultest.Agent {
	t.Helper()
	agent, err := sharedConsul()
	check(t, err)
	return agent
}

// ownConsul starts a Consul for one test, which may stop and start it.
func ownConsul(t *testing.T) *consultest.Agent {
	t.Helper()
	agent, err := consultest.Start(t.Context(), "")
	check(t, err)
	t.Cleanup(agent.Stop)
	return agent
}

func TestInstancesComeAndGo(t *testing.T) {
	t.Parallel()
	agent, dir := testConsul(t), t.TempDir()
	out, journal := filepath.Join(dir, "out"), filepath.Join(dir, "journal")
	register := func(i int, status string) {
		t.Helper()
		id := fmt.Sprint("come-and-go-", i)
		check(t, agent.Register("come-and-go", id, fmt.Sprint("10.0.0.", i), 80, status))
		t.Cleanup(func() { check(t, agent.Deregister(id)) })
	}
	for i := 1; i <= 3; i++ {
		register(i, "passing")
	}
	write(t, filepath.Join(dir, "in"), `{{range service "come-and-go"}}server {{.Address}}:{{.Port}};
{{end}}`)
	d := startRender(t, dir, "--consul-addr", agent.Addr, "--template", "in:out:grep -c server out >>journal")

	three := "server 10.0.0.1:80;\nserver 10.0.0.2:80;\nserver 10.0.0.3:80;\n"
	awaits(t, contains(out, three))
	awaits(t, contains(journal, "3\n"))

	register(4, "passing")
	awaits(t, contains(out, three+"server 10.0.0.4:80;\n"))
	awaits(t, contains(journal, "3\n4\n"))

	register(2, "critical")
	awaits(t, contains(out, "server 10.0.0.1:80;\nserver 10.0.0.3:80;\nserver 10.0.0.4:80;\n"))
	awaits(t, contains(journal, "3\n4\n3\n"))
	d.stop()
}

func TestConsulIsNotThereYet(t *testing.T) {
	t.Parallel()
	agent, dir := ownConsul(t), t.TempDir()
	agent.Stop()
	write(t, filepath.Join(dir, "in"), `{{range service "later"}}{{.Address}}{{end}} {{key "later"}}`)
	d := startRender(t, dir, "--consul-addr", agent.Addr, "--template", "in:out")

	awaits(t, d.saying("connection refused"))
	awaits(t, d.saying("msg=waiting template=in")) // R14
	check(t, agent.Restart(t.Context()))
	check(t, agent.Register("later", "later-1", "10.0.0.1", 80, "passing"))
	check(t, agent.Put("later", "value"))
	awaits(t, contains(filepath.Join(dir, "out"), "10.0.0.1 value"))
	awaits(t, d.saying("queries recovered"))
	d.stop()
}

func TestConsulGoesAwayAndComesBackWiped(t *testing.T) {
	t.Parallel()
	agent, dir := ownConsul(t), t.TempDir()
	out := filepath.Join(dir, "out")
	for i := range 20 { // so that the indexes of the first life are higher than those of the second
		check(t, agent.Put("gone", fmt.Sprint("value ", i)))
	}
	check(t, agent.Register("gone", "gone-1", "10.0.0.1", 80, "passing"))
	write(t, filepath.Join(dir, "in"), `{{range service "gone"}}{{.Address}}{{end}} {{key "gone"}}`)
	d := startRender(t, dir, "--consul-addr", agent.Addr, "--template", "in:out:echo >>journal")
	awaits(t, contains(out, "10.0.0.1 value 19"))
	awaits(t, contains(filepath.Join(dir, "journal"), "\n"))
	before, err := os.Stat(out)
	check(t, err)

	agent.Stop()
	awaits(t, d.saying("query failed"))
	changed := func() error {
		select {
		case <-d.ended:
			return nil
		default:
		}
		now, err := os.Stat(out)
		if err == nil && os.SameFile(now, before) && now.ModTime().Equal(before.ModTime()) {
			err = fmt.Errorf("unchanged")
		}
		return err
	}
	if within(15*time.Second, changed) == nil {
		t.Fatal("render has died, or touched the file, while Consul was away")
	}
	check(t, contains(out, "10.0.0.1 value 19")())

	check(t, agent.Restart(t.Context()))
	check(t, agent.Register("gone", "gone-2", "10.0.0.2", 80, "passing"))
	check(t, agent.Put("gone", "new"))
	awaits(t, contains(out, "10.0.0.2 new"))
	check(t, agent.Put("gone", "newer"))
	awaits(t, contains(out, "10.0.0.2 newer"))
	d.stop()
}

// TestKilledAtAnyMoment kills render again and again, with changes coming in all the time. Each file is then an old or
// a new one and whole; the next start takes leftovers away, and has the command succeed for what is on disk (R13).
//
// The command does nothing when the file alive is gone: it dies with the render that started it, as it would with the
// machine.
func TestKilledAtAnyMoment(t *testing.T) {
	t.Parallel()
	const (
		kills   = 45
		longest = 400 * time.Millisecond // covers the start, the first commits and the command
		command = "sleep 0.1; test -e alive && cp one applied.one && cp two applied.two"
	)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))

	agent, dir := testConsul(t), t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	names := []string{"one", "two", "free"}
	var args []string
	for _, name := range names {
		write(t, in(name+".in"), fmt.Sprintf("{{key %q}}", "killed/"+name))
		spec := name + ".in:" + name
		if name != "free" {
			spec += ":" + command
		}
		args = append(args, "--template", spec)
	}
	args = append(args, "--consul-addr", agent.Addr)
	written := make(map[string]bool)
	change := func() (last string) {
		last = body(len(written))
		written[last] = true
		for _, name := range names {
			check(t, agent.Put("killed/"+name, last))
		}
		return last
	}
	t.Cleanup(func() {
		for _, name := range names {
			check(t, agent.Delete("killed/"+name))
		}
	})

	owed := 0
	kill := func(t *testing.T, kind int) {
		write(t, in("alive"), "")
		last := change()
		moment := time.After(time.Duration(random.Int64N(int64(longest))))
		d := startRender(t, dir, args...)
		switch kind {
		case 0: // at a random moment, with many changes before it
			for done := false; !done; {
				select {
				case <-moment:
					done = true
				default:
					last = change()
				}
			}
		case 1: // at a random moment after one change
			<-moment
		case 2: // when the file is there and the command, as a rule, still runs
			awaits(t, contains(in("one"), last))
		}
		check(t, os.Remove(in("alive")))
		d.kill()

		for _, name := range names {
			b, err := os.ReadFile(in(name))
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Fatal(err)
			}
			if err == nil && !written[string(b)] {
				t.Fatalf("%s is not one of the %d versions: %d bytes, %.100q", name, len(written), len(b), b)
			}
		}
		if contains(in("one"), last)() == nil && contains(in("applied.one"), last)() != nil {
			owed++
		}

		write(t, in("alive"), "")
		renderOnce(t, dir, args...)
		for _, name := range append(names, "applied.one", "applied.two") {
			check(t, contains(in(name), last)())
		}
		left, err := filepath.Glob(in(".render-*"))
		check(t, err)
		if len(left) > 0 {
			t.Fatalf("left behind: %q", left)
		}
	}
	for i := range kills {
		if !t.Run(fmt.Sprint(i), func(t *testing.T) { kill(t, i%3) }) {
			return
		}
	}
	if owed == 0 {
		t.Errorf("none of %d kills fell between a file and its command; this test tests too little", kills)
	}
	t.Logf("%d versions; %d of %d kills fell between a file and its command", len(written), owed, kills)
}

// body returns the contents of a version: large, and different from those of every other version from end to end.
func body(version int) string {
	text := strings.Repeat(fmt.Sprintf("version %d\n", version), 10_000)
	return fmt.Sprintf("%s%x\n", text, sha256.Sum256([]byte(text)))
}

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"render/watch/consultest"
)

// The tests in this file change a real Consul at random, 50 times a second, while render watches it with 300 queries. When the changes
// and the faults pause, render has to have caught up within five seconds: its files are those that a fresh render --once writes. No file
// may ever show what never was, or go back to what was before.
//
// The changes go on for five seconds, or for $RENDER_SOAK_TIME with a pause each half minute. $RENDER_SEED repeats the choices of a test
// that has failed.

const (
	churnEvery = 20 * time.Millisecond
	caughtUp   = 5 * time.Second
	churnFiles = 30
)

// A churn is a render that watches a world, in its files.
type churn struct {
	t        *testing.T
	world    *world
	random   *rand.Rand
	dir      string
	args     []string      // of templates
	names    []string      // of files
	lasts    time.Duration // the changes, until a pause
	rounds   int           // of changes and a pause
	soak     bool
	onceTook time.Duration   // what the last render --once took
	took     []time.Duration // to catch up
	used     []usage         // in each round
}

func newChurn(t *testing.T) *churn {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("RENDER_SEED"); text != "" {
		var err error
		seed, err = strconv.ParseUint(text, 10, 64)
		check(t, err)
	}
	t.Logf("RENDER_SEED=%d", seed)
	c := &churn{t: t, world: newWorld(seed), random: rand.New(rand.NewPCG(seed, 2)), dir: t.TempDir(), lasts: 5 * time.Second, rounds: 1}
	if text := os.Getenv("RENDER_SOAK_TIME"); text != "" {
		total, err := time.ParseDuration(text)
		check(t, err)
		c.soak, c.lasts = true, 30*time.Second
		c.rounds = max(1, int(total/c.lasts))
	}
	if n := len(c.world.questions); n != 300 {
		t.Fatalf("%d questions, want 300", n)
	}
	for _, sub := range []string{"in", "out", "once", "fresh"} {
		check(t, os.Mkdir(filepath.Join(c.dir, sub), 0o755))
	}
	texts := make([]string, churnFiles)
	for i, at := range c.random.Perm(len(c.world.questions)) {
		texts[i%churnFiles] += c.world.questions[at].text
	}
	for i, text := range texts {
		name := fmt.Sprintf("%02d", i)
		write(t, filepath.Join(c.dir, "in", name), text)
		c.names = append(c.names, name)
		c.args = append(c.args, "--template", "../in/"+name+":"+name)
	}
	if c.soak { // the program as it is released: the test's own binary may have the race detector in it
		bin := t.TempDir()
		build := exec.Command("go", "build", "-trimpath", "-o", filepath.Join(bin, "render"), ".")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", build, err, out)
		}
		t.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	}
	return c
}

// begin has all servers of Consul know what the world is at first, and starts render.
func (c *churn) begin(client *api.Client, address string, servers ...*consultest.Agent) *daemon {
	c.t.Helper()
	for _, do := range c.world.begin() {
		check(c.t, do.do(client))
	}
	_, err := client.KV().Put(&api.KVPair{Key: "begun"}, nil)
	check(c.t, err)
	for _, server := range servers {
		awaits(c.t, func() error {
			pair, _, err := server.Client.KV().Get("begun", &api.QueryOptions{AllowStale: true})
			if err == nil && pair == nil {
				err = errors.New("a server is behind")
			}
			return err
		})
	}
	d := c.start("out", address)
	awaits(c.t, func() error { return c.all("out") })
	return d
}

func (c *churn) start(sub, address string) *daemon {
	c.t.Helper()
	return startRender(c.t, filepath.Join(c.dir, sub), append([]string{"--consul-addr", address}, c.args...)...)
}

// all returns the condition that a folder has all files.
func (c *churn) all(sub string) error {
	for _, name := range c.names {
		if _, err := os.Stat(filepath.Join(c.dir, sub, name)); err != nil {
			return err
		}
	}
	return nil
}

// change changes Consul until ctx is done, and returns how often.
func (c *churn) change(ctx context.Context, client *api.Client) (n int) {
	tick := time.NewTicker(churnEvery)
	defer tick.Stop()
	for ; ; n++ {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return n
		}
		do := c.world.next()
		err := within(time.Minute, func() error {
			err := do.do(client)
			if err != nil {
				c.world.note("failed: %v", err)
			}
			return err
		})
		if err != nil {
			c.t.Errorf("Consul cannot be changed: %v", err)
			return n
		}
		c.world.note("%s", do.what)
	}
}

// read reads the files of a folder whenever they change, until ctx is done, and fails the test where one shows what never was.
func (c *churn) read(ctx context.Context, sub string) {
	seen, places := make(map[string]time.Time), make(map[string]place)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for wrong := 0; wrong < 10; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		for _, name := range c.names {
			path := filepath.Join(c.dir, sub, name)
			info, err := os.Stat(path)
			if err == nil && info.ModTime().Equal(seen[name]) {
				continue
			}
			if err == nil {
				seen[name] = info.ModTime()
				if places[name] == nil {
					places[name] = make(place)
				}
				err = c.show(path, places[name])
			}
			if err != nil {
				c.t.Errorf("%s %v; the last changes are\n%s", name, err, c.world.lately())
				wrong++
			}
		}
	}
}

// show takes a reader of a file to what it shows now.
func (c *churn) show(path string, at place) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	for block := range strings.SplitSeq(string(text), "<<") {
		if block == "" {
			continue
		}
		body, whole := strings.CutSuffix(block, ">>\n")
		id, body, _ := strings.Cut(body, "\n")
		if !whole {
			return fmt.Errorf("shows a block that has no end: %q", block)
		}
		var lines []string
		for line := range strings.Lines(body) {
			lines = append(lines, strings.TrimSuffix(line, "\n"))
		}
		if err := c.world.see(at, id, lines); err != nil {
			return err
		}
	}
	return nil
}

// usage is what a process uses, at most.
type usage struct{ memory, files, threads int } // in bytes; open files

// used returns what a process uses now.
func used(pid int) (u usage, err error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return u, err
	}
	for line := range strings.Lines(string(status)) {
		if _, err := fmt.Sscanf(line, "VmRSS: %d kB", &u.memory); err == nil {
			u.memory <<= 10
		}
		_, _ = fmt.Sscanf(line, "Threads: %d", &u.threads)
	}
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	u.files = len(open)
	return u, err
}

// gauge returns what a daemon used at most until ctx is done. It fails the test where the daemon ends.
func (c *churn) gauge(ctx context.Context, d *daemon) (most usage) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-d.ended:
			c.t.Error("render has ended")
			return most
		case <-ctx.Done():
			return most
		}
		if now, err := used(d.cmd.Process.Pid); err == nil { // else it is noticed that it has ended
			most = usage{max(most.memory, now.memory), max(most.files, now.files), max(most.threads, now.threads)}
		}
	}
}

// disturb has render watch a world that changes, and something go wrong meanwhile. It returns when all of it has ended.
func (c *churn) disturb(d *daemon, client *api.Client, wrong func(context.Context)) {
	ctx, cancel := context.WithTimeout(c.t.Context(), c.lasts)
	defer cancel()
	var most usage
	var changes int
	var all sync.WaitGroup
	all.Go(func() { changes = c.change(ctx, client) })
	all.Go(func() { most = c.gauge(ctx, d) })
	all.Go(func() { wrong(ctx) })
	all.Wait()
	c.used = append(c.used, most)
	c.t.Logf("%d changes; render used at most %d MB, %d open files, %d threads", changes, most.memory>>20, most.files, most.threads)
}

// bounded fails the test where render has used much, or more and more.
func (c *churn) bounded() {
	c.t.Helper()
	const (
		mostFiles  = 128 + 72  // connections and all else
		mostMemory = 160 << 20 // without the race detector
		mostGrowth = 32 << 20  // from one half of the rounds to the other
	)
	var halves [2]int
	for i, u := range c.used {
		half := i * 2 / len(c.used)
		halves[half] = max(halves[half], u.memory)
		if u.files > mostFiles || c.soak && u.memory > mostMemory {
			c.t.Errorf("round %d: render used %d MB, and %d files were open", i, u.memory>>20, u.files)
		}
	}
	if grown := halves[1] - halves[0]; c.soak && c.rounds > 1 && grown > mostGrowth {
		c.t.Errorf("render used %d MB more in the second half", grown>>20)
	}
}

// once renders all files into the folder once. It fails the test where they do not show what the world is now.
func (c *churn) once(address string) {
	c.t.Helper()
	began := time.Now()
	renderOnce(c.t, filepath.Join(c.dir, "once"), append([]string{"--consul-addr", address}, c.args...)...)
	c.onceTook = time.Since(began)
	for _, name := range c.names {
		at := make(place)
		err := c.show(filepath.Join(c.dir, "once", name), at)
		if err == nil {
			err = c.world.isNow(at)
		}
		if err != nil {
			c.t.Errorf("render --once: %s: %v", name, err)
		}
	}
}

// same returns the condition that a folder has the files of the folder once.
func (c *churn) same(sub string) error {
	var differ []string
	for _, name := range c.names {
		want, err := os.ReadFile(filepath.Join(c.dir, "once", name))
		if err != nil {
			return err
		}
		got, err := os.ReadFile(filepath.Join(c.dir, sub, name))
		if err != nil {
			return err
		}
		if !bytes.Equal(got, want) {
			differ = append(differ, name+": "+differingBlocks(string(got), string(want)))
		}
	}
	if len(differ) > 0 {
		return fmt.Errorf("%d files differ: %s", len(differ), strings.Join(differ[:min(len(differ), 3)], "; "))
	}
	return nil
}

// differingBlocks returns the blocks of two texts that differ.
func differingBlocks(got, want string) string {
	gots, wants := strings.Split(got, "<<"), strings.Split(want, "<<")
	var differ []string
	for i := range min(len(gots), len(wants)) {
		if gots[i] != wants[i] {
			differ = append(differ, fmt.Sprintf("%q is %q", gots[i], wants[i]))
		}
	}
	return strings.Join(differ, ", ")
}

// catchesUp fails the test where the files of render are not soon those of render --once. Only the short form, which has the race detector
// and other tests beside it, gives a slow machine more time: ten times what render --once took.
func (c *churn) catchesUp(since time.Time) {
	c.t.Helper()
	limit := caughtUp
	if !c.soak {
		limit = max(limit, 10*c.onceTook)
	}
	err := within(time.Until(since.Add(limit)), func() error { return c.same("out") })
	took := time.Since(since).Round(time.Millisecond)
	c.took = append(c.took, took)
	if err == nil {
		c.t.Logf("render has caught up after %s", took)
		return
	}
	c.t.Errorf("render has not caught up after %s: %v", took, err)
	if within(3*time.Minute, func() error { return c.same("out") }) == nil {
		c.t.Logf("it has after %s", time.Since(since).Round(time.Millisecond))
	}
}

// proxy starts a proxy before an agent, with some client addresses of its own: it cuts off many requests that wait.
func (c *churn) proxy(agent string, network byte) *consultest.Proxy {
	var from []net.IP
	for i := range byte(8) {
		from = append(from, net.IPv4(127, 0, network, i+1))
	}
	p := consultest.NewProxy(agent, from...)
	c.t.Cleanup(p.Close)
	return p
}

// leavesNothing ends a daemon and fails the test where it had more goroutines than one that is fresh.
func (c *churn) leavesNothing(d *daemon, agent string) {
	c.t.Helper()
	fresh := c.start("fresh", c.proxy(agent, 2).Addr)
	awaits(c.t, func() error { return c.same("fresh") })
	after, before := d.goroutines(), fresh.goroutines()
	c.t.Logf("%d goroutines; a fresh render has %d", after, before)
	if after > before+before/4+50 || before < 300 {
		c.t.Errorf("render has %d goroutines at the end, a fresh one has %d", after, before)
	}
}

// goroutines ends a daemon with a dump of its goroutines, and counts them. Those of connections are left out: open files bound these.
func (d *daemon) goroutines() int {
	d.t.Helper()
	d.signal(syscall.SIGABRT)
	select {
	case <-d.ended:
	case <-time.After(patience):
		d.t.Fatal("render does not end on SIGABRT")
	}
	dump := d.said()
	dump = dump[strings.LastIndex(dump, "SIGABRT"):]
	check(d.t, os.WriteFile(d.log, []byte(strings.TrimSuffix(d.said(), dump)), 0o644)) // the dump is not worth reading
	n := 0
	for stack := range strings.SplitSeq(dump, "\n\n") {
		if strings.HasPrefix(stack, "goroutine ") && !strings.Contains(stack, "created by net/http.(*Transport)") {
			n++
		}
	}
	return n
}

// TestChurnBehindFaultyProxy has the requests of render meet all faults of a network, one after the other and mixed.
func TestChurnBehindFaultyProxy(t *testing.T) {
	c := newChurn(t)
	agent, err := consultest.StartServer(t.Context(), t.TempDir(), "")
	check(t, err)
	t.Cleanup(agent.Stop)
	proxy := c.proxy(agent.Addr, 1)
	d := c.begin(agent.Client, proxy.Addr)
	reading, cancel := context.WithCancel(t.Context())
	defer cancel()
	var reader sync.WaitGroup
	reader.Go(func() { c.read(reading, "out") })

	for range c.rounds {
		c.disturb(d, agent.Client, func(ctx context.Context) { c.faults(ctx, proxy) })
		c.once(agent.Addr)
		proxy.Hit(consultest.Pass)
		c.catchesUp(time.Now())
	}
	t.Logf("caught up after %s", c.took)
	cancel()
	reader.Wait()
	c.bounded()
	c.leavesNothing(d, agent.Addr)
}

// faults has a proxy make faults until ctx is done. It leaves the last fault.
func (c *churn) faults(ctx context.Context, proxy *consultest.Proxy) {
	const pass = 8 // of 20 requests
	upTo := func(most time.Duration) time.Duration { return time.Duration(c.random.Int64N(int64(most))) }
	random := rand.New(rand.NewPCG(c.random.Uint64(), 0)) // of the proxy
	fault := func() consultest.Fault {
		all := []consultest.Fault{
			consultest.Late(upTo(2 * time.Second)), consultest.Reset, consultest.Half, consultest.Silent,
			consultest.Idle(upTo(3*time.Second), 0), consultest.Idle(upTo(3*time.Second), 504), consultest.Dribble(upTo(5 * time.Millisecond)),
			consultest.Status(429, 0), consultest.Status(429, time.Second), consultest.Status(500, 0), consultest.Status(502, 0), consultest.Status(504, 0),
		}
		return all[c.random.IntN(len(all))]
	}
	met := make(map[string]int)
	for ctx.Err() == nil {
		var what string
		switch n := c.random.IntN(10); {
		case n < 2:
			what = "none"
			proxy.Set(consultest.Pass)
		case n < 6:
			what = "mixed"
			var all []consultest.Fault
			for i := range 20 {
				if i < pass {
					all = append(all, consultest.Pass)
				} else {
					all = append(all, fault())
				}
			}
			proxy.Set(consultest.Mix(random, all...))
		case n < 7:
			what = "all requests"
			proxy.Set(fault())
		case n < 8:
			what = "all requests, also those in flight"
			proxy.Hit(fault())
		case n < 9:
			what = "cut"
			proxy.Cut()
		default:
			what = "refused"
			proxy.Refuse()
			proxy.Cut()
		}
		met[what]++
		select {
		case <-time.After(100*time.Millisecond + upTo(3*time.Second)):
		case <-ctx.Done():
		}
		if what == "refused" {
			check(c.t, proxy.Accept())
		}
	}
	c.t.Logf("faults: %v; %d requests, at most %d connections", met, len(proxy.Requests()), proxy.MostOpen())
}

// TestChurnWhileLeadersDie kills the leader of three servers again and again, and starts it again. Render asks a client agent.
func TestChurnWhileLeadersDie(t *testing.T) {
	c := newChurn(t)
	cluster, err := consultest.StartCluster(t.Context(), t.TempDir(), "")
	check(t, err)
	t.Cleanup(cluster.Stop)
	local := cluster.Local
	d := c.begin(local.Client, local.Addr, cluster.Servers...)
	reading, cancel := context.WithCancel(t.Context())
	defer cancel()
	var reader sync.WaitGroup
	reader.Go(func() { c.read(reading, "out") })

	alive, away := 5*time.Second, 5*time.Second
	if !c.soak {
		alive, away = time.Second, time.Second
	}
	for range c.rounds {
		c.disturb(d, local.Client, func(ctx context.Context) { c.killLeaders(ctx, cluster, alive, away) })
		awaits(t, func() error {
			var missing []error
			for _, a := range append(cluster.Servers, local) {
				_, _, err := a.Client.Catalog().Services(&api.QueryOptions{RequireConsistent: true})
				missing = append(missing, err)
			}
			return errors.Join(missing...)
		})
		since := time.Now()
		c.once(local.Addr)
		c.catchesUp(since)
		c.once(local.Addr)
		if err := c.same("out"); err != nil {
			t.Errorf("the cluster did not become stable: %v", err)
		}
	}
	t.Logf("caught up after %s", c.took)
	cancel()
	reader.Wait()
	c.bounded()
	c.leavesNothing(d, local.Addr)
}

// killLeaders kills the leader, and starts it again, until ctx is done. Each is alive for a while before, and away for a while.
func (c *churn) killLeaders(ctx context.Context, cluster *consultest.Cluster, alive, away time.Duration) {
	for {
		select {
		case <-time.After(alive):
		case <-ctx.Done():
			return
		}
		leader, err := cluster.Leader(c.t.Context())
		if err != nil {
			c.t.Error(err)
			return
		}
		leader.Stop()
		select {
		case <-time.After(away):
		case <-ctx.Done():
		}
		if err := leader.Restart(c.t.Context()); err != nil {
			c.t.Error(err)
			return
		}
	}
}

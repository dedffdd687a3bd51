//go:build linux

// Bench measures the render binary against real Consul agents and compares with the goals of the design. It runs on
// Linux, whose inotify and /proc it reads.
//
// A time is from just before a write to Consul is sent until the new contents stand at their destination. CPU and
// memory are those of the render process, without the commands that it runs. The cases of nginx count until it answers by
// the change, and those of many actions until all their commands have run.
//
// render gets no flag for its connections: what is measured is what people get. Where a case does not say "raised", the agent
// has its stock limits. The bench's own connections, up to nine, are within the same limits. What the agent does is read
// from the agent's own telemetry, which counts a request when it has been answered.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"render/watch/consultest"
)

// memoryDir holds Consul's data, so that Consul's waiting for the disk is not measured.
const memoryDir = "/dev/shm"

func main() {
	binary := flag.String("render", "bin/render", "the render `BINARY` to measure")
	only := flag.String("case", "", "run only the cases whose names match a `REGEXP`")
	quiet := flag.Duration("quiet", time.Minute, "how long to measure while nothing moves, after 70s to settle")
	asFleet := flag.Bool("fleet", false, "measure a server and eight hosts, in place of the cases; twice five minutes and more")
	phase := flag.Duration("phase", time.Minute, "how long to measure each phase of a fleet")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, *binary, func(binary string) error {
		if *asFleet {
			return runFleet(ctx, binary, *phase)
		}
		return runCases(ctx, binary, *only, *quiet)
	})
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	}
}

// run prints what machine this is and measures, with the absolute path of the binary.
func run(ctx context.Context, binary string, measure func(binary string) error) error {
	binary, err := filepath.Abs(binary)
	if err != nil {
		return err
	}
	if _, err := os.Stat(binary); err != nil {
		return fmt.Errorf("%w; `make bench` builds it, or give -render BINARY", err)
	}
	if err := printMachine(ctx); err != nil {
		return err
	}
	return measure(binary)
}

func runCases(ctx context.Context, binary, only string, quiet time.Duration) error {
	wanted, err := regexp.Compile(only)
	if err != nil {
		return err
	}
	printHead()
	failed := 0
	for _, group := range groups(quiet) {
		group = slices.DeleteFunc(group, func(c benchCase) bool { return !wanted.MatchString(c.name) })
		found, faults := measureGroup(ctx, binary, group)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		for i, c := range group {
			for _, r := range found[i] {
				r.print(c)
			}
			if faults[i] != nil {
				failed++
				fmt.Printf(nameFormat+" %v\n", c.name, faults[i])
			}
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d cases could not be measured", failed)
	}
	return nil
}

// measureGroup runs cases at the same time.
func measureGroup(ctx context.Context, binary string, group []benchCase) (found [][]row, faults []error) {
	found, faults = make([][]row, len(group)), make([]error, len(group))
	var wg sync.WaitGroup
	for i, c := range group {
		wg.Go(func() { found[i], faults[i] = measure(ctx, binary, c) })
	}
	wg.Wait()
	return found, faults
}

// measure runs a case with an agent and a folder of its own. With an error it returns the rows that were measured before it.
func measure(ctx context.Context, binary string, c benchCase) ([]row, error) {
	b := &bench{binary: binary}
	var err error
	if b.data, err = os.MkdirTemp(memoryDir, "render-bench-consul-"); err != nil {
		return nil, err
	}
	defer os.RemoveAll(b.data)
	if b.dir, err = os.MkdirTemp("", "render-bench-"); err != nil {
		return nil, err
	}
	defer os.RemoveAll(b.dir)

	if err := b.startAgent(ctx, c.agent); err != nil {
		return nil, err
	}
	defer b.Stop()
	if b.out, err = newOutput(filepath.Join(b.dir, "out")); err != nil {
		return nil, err
	}
	defer b.out.close()
	return c.run(ctx, b)
}

func printMachine(ctx context.Context) error {
	cpu, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return err
	}
	model := "unknown CPU"
	if _, rest, found := strings.Cut(string(cpu), "model name\t: "); found {
		model, _, _ = strings.Cut(rest, "\n")
	}
	binary, err := consultest.Binary()
	if err != nil {
		return err
	}
	version, err := exec.CommandContext(ctx, binary, "version").Output()
	if err != nil {
		return fmt.Errorf("consul version: %w", err)
	}
	consul, _, _ := strings.Cut(string(version), "\n")
	fmt.Printf("%d cores of %s, %s, %s\n", runtime.NumCPU(), model, runtime.Version(), consul)
	return nil
}

// A row is a line of the table: what a case, or a part of a case, has found, and its goals.
type row struct {
	part  string // of the case; empty where the case has one row
	goals goals
	measured
}

// measured is what was found.
type measured struct {
	times []time.Duration // of each change or start
	cpu   float64         // seconds, or what the case calls its unit
	mem   float64         // the peak of resident memory in MB
	note  string
}

// goals are the most that may be measured; 0 stands for no goal.
type goals struct{ p50, p99, cpu, mem float64 }

const (
	nameFormat = "%-46s"
	rowFormat  = nameFormat + " %4s  %-22s %-22s  %-22s %-20s %s\n"
)

func printHead() { fmt.Printf(rowFormat, "case", "n", "p50 ms", "p99 ms", "CPU s", "memory MB", "") }

func (r row) print(c benchCase) {
	name := c.name
	if r.part != "" {
		name += ": " + r.part
	}
	slices.Sort(r.times)
	count, p50, p99 := "–", "–", "–"
	if n := len(r.times); n > 0 {
		count = fmt.Sprint(n)
		p50 = against(percentile(r.times, 50), r.goals.p50)
		p99 = against(percentile(r.times, 99), r.goals.p99)
	}
	fmt.Printf(rowFormat, name, count, p50, p99, against(r.cpu, r.goals.cpu), against(r.mem, r.goals.mem), r.note)
}

// against writes a number, and beside it the goal and whether it is met.
func against(value, goal float64) string {
	s := fmt.Sprintf("%.2f", value)
	if goal == 0 {
		return s
	}
	verdict := "ok"
	if value > goal {
		verdict = "MISSED"
	}
	return fmt.Sprintf("%s (≤ %.4g %s)", s, goal, verdict)
}

// percentile returns a percentile of sorted times in milliseconds.
func percentile(sorted []time.Duration, p int) float64 {
	return sorted[(len(sorted)-1)*p/100].Seconds() * 1000
}

// median returns the median of times, in any order, in milliseconds.
func median(times []time.Duration) float64 {
	return percentile(slices.Sorted(slices.Values(times)), 50)
}

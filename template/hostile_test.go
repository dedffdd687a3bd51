package template_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"reflect"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"render/template"
	"render/watch"
)

// A hostile execution runs in a process of its own, which has little memory: the test finds out that it died, and of what.
const (
	hostileChild  = "RENDER_HOSTILE_CHILD" // in the environment of that process
	hostileMemory = 512 << 20              // bytes of data that it can have
	hostileLimit  = 300 * time.Millisecond // of an execution, after which its context is done
	hostileWork   = 5 * time.Second        // of the processors, for all of an execution
	hostileWait   = 2 * time.Minute        // on a machine that is busy
)

// Random templates of all functions run over hostile data. No process dies, and each execution ends soon after its context is
// done. RENDER_HOSTILE_TIME makes the test run that long, with seeds that it had never before.
func TestHostileTemplates(t *testing.T) {
	if os.Getenv(hostileChild) != "" {
		executeSeeds(os.Stdin, os.Stdout)
		os.Exit(0)
	}
	first, n, end := uint64(0), uint64(60), time.Now().Add(time.Hour)
	if limit := os.Getenv("RENDER_HOSTILE_TIME"); limit != "" {
		duration, err := time.ParseDuration(limit)
		if err != nil {
			t.Fatal(err)
		}
		first, n, end = rand.Uint64()>>1, 1<<40, time.Now().Add(duration)
	}

	var child *hostileProcess
	defer func() { child.stop() }()
	ok, slowest := 0, time.Duration(0)
	for seed := first; seed < first+n && time.Now().Before(end); seed++ {
		if child == nil {
			child = startHostileProcess(t)
		}
		took, err := child.execute(seed)
		if slowest = max(slowest, took); err != nil || took > hostileWork {
			child.stop()
			t.Errorf("seed %d: %v, %v\n%s\n%s", seed, err, took, hostileTemplate(seed), child.stderr)
			child = nil
			continue
		}
		ok++
	}
	t.Logf("%d templates from seed %d; the slowest took %v of the processors", ok, first, slowest)
}

type hostileProcess struct {
	cmd     *exec.Cmd
	in      io.WriteCloser
	answers chan string
	stderr  *strings.Builder
}

func startHostileProcess(t *testing.T) *hostileProcess {
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &hostileProcess{cmd: exec.Command(binary, "-test.run=^TestHostileTemplates$"), answers: make(chan string), stderr: new(strings.Builder)}
	p.cmd.Env = append(os.Environ(), hostileChild+"=1")
	p.cmd.Stderr = p.stderr
	p.in, err = p.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.answers)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if answer, ok := strings.CutPrefix(lines.Text(), "answer "); ok {
				p.answers <- answer
			}
		}
	}()
	return p
}

func (p *hostileProcess) execute(seed uint64) (took time.Duration, err error) {
	if _, err := fmt.Fprintln(p.in, seed); err != nil {
		return 0, err
	}
	select {
	case answer, running := <-p.answers:
		if !running {
			return 0, errors.New("the process died")
		}
		return time.ParseDuration(answer)
	case <-time.After(hostileWait):
		return 0, errors.New("the execution does not end")
	}
}

func (p *hostileProcess) stop() {
	if p != nil {
		_ = p.cmd.Process.Kill()
		for range p.answers {
		}
		_ = p.cmd.Wait()
	}
}

// executeSeeds executes the template of each seed that it reads, in little memory. As in a process of render the memory limit is
// nine tenths of that.
func executeSeeds(in io.Reader, out io.Writer) {
	limit := syscall.Rlimit{Cur: hostileMemory * raceMemory, Max: hostileMemory * raceMemory}
	if err := syscall.Setrlimit(syscall.RLIMIT_DATA, &limit); err != nil {
		panic(err)
	}
	debug.SetMemoryLimit((hostileMemory*raceMemory - reservedMemory()) / 10 * 9)
	answers, options := hostileAnswers(hostileData()), template.Options{Searches: new(template.Searches)}
	for lines := bufio.NewScanner(in); lines.Scan(); {
		seed, err := strconv.ParseUint(lines.Text(), 10, 64)
		if err != nil {
			panic(err)
		}
		fmt.Fprintln(out, "answer", executeHostile(hostileTemplate(seed), options, answers))
	}
}

// reservedMemory returns how many bytes the system counts as data of this process although they are no memory: addresses that the
// runtime of Go and the C library have reserved, and mostly do not use.
func reservedMemory() int64 {
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0 // not on Linux
	}
	pages, err := strconv.ParseInt(strings.Fields(string(statm))[5], 10, 64)
	if err != nil {
		panic(err)
	}
	sample := []metrics.Sample{{Name: "/memory/classes/total:bytes"}}
	metrics.Read(sample)
	return max(0, pages*int64(os.Getpagesize())-int64(sample[0].Value.Uint64()))
}

// executeHostile returns the time of the processors that an execution takes, or what is wrong with it.
func executeHostile(text string, options template.Options, answers template.Lookup) string {
	tmpl, err := template.Parse("t", text, options)
	if err != nil {
		return "cannot be parsed: " + err.Error()
	}
	ctx, cancel := context.WithTimeout(context.Background(), hostileLimit)
	defer cancel()
	before := processorTime()
	tmpl.Execute(ctx, answers)
	return (processorTime() - before).String()
}

func processorTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// hostileData are values of keys: as large as Consul takes them, and made to grow.
func hostileData() map[string]string {
	fill := func(s string) string { return strings.Repeat(s, (512<<10)/len(s)) }
	return map[string]string{
		"empty": "", "one": "1", "minus": "-1", "million": "1000000", "far": "1000000000000", "max": "9223372036854775807", "min": "-9223372036854775808",
		"x": fill("x"), "lines": fill("\n"), "blanks": fill(" "), "nul": fill("\x00"), "invalid": fill("\xff"), "quotes": fill(`"`), "wide": fill("é"),
		"commas": fill("a,"), "percent": fill("%999999d"), "verbs": fill("%v"), "star": fill("%*d"), "dollars": fill("$1"), "slashes": fill("a/"),
		"json": "[" + fill("1,") + "1]", "objects": "[" + fill(`{"":1},`) + "1]", "deepjson": strings.Repeat("[", 9000) + strings.Repeat("]", 9000),
		"deepmap": strings.Repeat(`{"a":`, 9000) + "1" + strings.Repeat("}", 9000), "yaml": fill("a: 1\n"), "yamllist": fill("- a\n"), "deepyaml": strings.Repeat("[", 5000),
		"laughs":  "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: [*d,*d,*d,*d,*d,*d,*d,*d,*d]\n",
		"pattern": "(a*)*b", "groups": fill("(x)"), "repeated": "((x{1,1000}){1,1000})", "any": "", "dots": ".*.*.*x", "number": "1e308", "long": fill("9"), "date": "2006-01-02",
	}
}

// hostileAnswers answers all queries of a kind with the same value, as render does.
func hostileAnswers(data map[string]string) template.Lookup {
	var pairs []*watch.KeyPair
	for i, name := range slices.Sorted(maps.Keys(data)) {
		pairs = append(pairs, &watch.KeyPair{Path: name, Key: strings.Repeat("a/", i*40) + name, Value: data[name]})
	}
	var instances []*watch.HealthService
	for i := range 1000 {
		instances = append(instances, &watch.HealthService{Node: "n", ID: strconv.Itoa(i), Name: "web", Address: "10.0.0.1", Port: i, Tags: watch.ServiceTags{"a", strconv.Itoa(i)},
			ServiceMeta: map[string]string{"k": data["x"], "v": strconv.Itoa(i)}})
	}
	secret := &watch.Secret{LeaseID: data["x"], Data: map[string]any{"a": data["x"], "b": map[string]any{"c": data["commas"]}, "d": make([]any, 10_000)}}
	answers := map[string]any{
		watch.KindKV: "value", watch.KindFile: data["x"], watch.KindPlugin: data["x"], watch.KindPrefix: pairs,
		watch.KindServices: []*watch.CatalogSnippet{{Name: "web", Tags: watch.ServiceTags{"a", data["x"]}}, {Name: data["quotes"]}},
		watch.KindService:  instances, watch.KindConnect: instances,
		watch.KindSecret: secret, watch.KindSecretWrite: secret, watch.KindSecrets: strings.Split(data["slashes"], "/"),
		watch.KindPKICert: &watch.PKICert{Cert: data["x"], Key: data["quotes"], CAChain: []string{data["lines"], data["nul"]}},
	}
	return func(q watch.Query) (any, bool) {
		if value, found := data[q.Name]; found && q.Kind == watch.KindKV {
			return value, true
		}
		return answers[q.Kind], true
	}
}

// A grower writes a random template.
type grower struct {
	*rand.Rand
	text    strings.Builder
	types   map[string]reflect.Type
	makers  map[string][]string // names of functions by what they return
	all     []string
	vars    int // $v0 … that there are
	defines int
}

// hostileTemplate returns the template of a seed.
func hostileTemplate(seed uint64) string {
	g := grower{Rand: rand.New(rand.NewPCG(seed, 17)), types: template.Signatures(), makers: make(map[string][]string)}
	for _, name := range slices.Sorted(maps.Keys(g.types)) {
		if name == "fail" || name == "sprig_fail" || strings.HasPrefix(name, "spew_dump") || strings.HasPrefix(name, "spew_printf") {
			continue
		}
		kind := g.types[name].Out(0).String()
		g.makers[kind] = append(g.makers[kind], name)
		g.all = append(g.all, name)
	}
	if g.IntN(2) == 0 { // lists that take no room, and fill a disk in print
		g.text.WriteString(`{{$t := list 1 "x"}}{{range until 60}}{{$t = list $t $t}}{{end}}{{scratch.Set "t" $t}}{{scratch.Set "d" (dict "t" $t)}}{{scratch.Set "s" scratch}}`)
	}
	if seed%2 == 0 { // the first fault ends a template, so half of them are short
		g.vars = 1
		value := g.call(g.all[g.IntN(len(g.all))], g.IntN(2))
		fmt.Fprintf(&g.text, `{{$v0 := %s}}{{range loop 300}}{{$v0 = %s}}{{end}}{{$v0}}`, g.value("any", 0), value)
		return g.text.String()
	}
	g.defines = g.IntN(3)
	for i := range g.defines {
		g.vars = 0
		fmt.Fprintf(&g.text, `{{define "d%d"}}`, i)
		g.block(2)
		g.text.WriteString("{{end}}")
	}
	g.vars = 0
	g.block(3)
	return g.text.String()
}

func (g *grower) block(depth int) {
	outer := g.vars
	for range 1 + g.IntN(4) {
		switch n := g.IntN(14); {
		case n < 3:
			fmt.Fprintf(&g.text, "{{%s}}", g.value("any", 3))
		case n < 6:
			fmt.Fprintf(&g.text, "{{$v%d := %s}}", g.vars, g.value("any", 3))
			g.vars++
		case n < 9 && g.vars > 0:
			fmt.Fprintf(&g.text, "{{$v%d = %s}}", g.IntN(g.vars), g.value("any", 3))
		case n < 10 && g.defines > 0:
			fmt.Fprintf(&g.text, `{{template "d%d" %s}}`, g.IntN(g.defines), g.value("any", 2))
		case n < 13 && depth > 0:
			turns := []string{g.value("any", 2), "loop 50", "until 1000", fmt.Sprintf("list %s", g.value("any", 1)), `service "web"`, `key "max" | parseInt`}
			fmt.Fprintf(&g.text, "{{range %s}}", turns[g.IntN(len(turns))])
			g.block(depth - 1)
			g.text.WriteString("{{end}}")
		case depth > 0:
			fmt.Fprintf(&g.text, "{{with %s}}", g.value("any", 2))
			g.block(depth - 1)
			g.text.WriteString("{{else}}")
			g.block(depth - 1)
			g.text.WriteString("{{end}}")
		}
	}
	g.vars = outer
}

// value returns an expression that often has a type.
func (g *grower) value(kind string, depth int) string {
	if g.vars > 0 && g.IntN(4) == 0 {
		return fmt.Sprintf("$v%d", g.IntN(g.vars))
	}
	if depth == 0 || g.IntN(4) == 0 {
		if simple := g.simple(kind); simple != "" {
			return simple
		}
	}
	makers := g.all
	switch kind {
	case "any", "interface {}":
	default:
		if names := g.makers[kind]; len(names) > 0 && g.IntN(10) > 0 {
			makers = names
		}
	}
	if depth <= -2 {
		return `"x"`
	}
	return g.call(makers[g.IntN(len(makers))], depth-1)
}

func (g *grower) simple(kind string) string {
	keys := slices.Sorted(maps.Keys(hostileNames))
	value := fmt.Sprintf("(key %q)", keys[g.IntN(len(keys))])
	switch kind {
	case "string":
		return []string{value, value, value, `"x"`, `","`, `""`, `"%s %v"`, `"$1$1$1"`, `"(x)*"`, `"d0"`, `"0644"`}[g.IntN(11)]
	case "int", "int64":
		return []string{"0", "1", "-1", "2", "100", "1000000", "2000000000", "1000000000000", "9223372036854775807", "-9223372036854775808", "(" + `key "million" | atoi)`}[g.IntN(11)]
	case "bool":
		return "true"
	case "float64":
		return "1.5"
	case "[]string":
		return `(split "," (key "commas"))`
	case "[]interface {}":
		return []string{`(list 1 "x" 2.5)`, `(parseJSON (key "json"))`, `(parseJSON (key "deepjson"))`, `(scratch.Get "t")`}[g.IntN(4)]
	case "map[string]interface {}":
		return []string{`(dict "a" 1 "b" (dict "c" 2))`, `(parseJSON (key "deepmap"))`, `(parseYAML (key "laughs"))`, `(dict "x" (key "x"))`, `(scratch.Get "d")`}[g.IntN(5)]
	case "[]*watch.HealthService":
		return `(service "web")`
	case "[]*watch.KeyPair":
		return `(tree "a")`
	case "any", "interface {}":
		return []string{value, "1", `(list 1 2)`, `(dict "a" 1)`, `(service "web")`, `(tree "a")`, `nil`, ".", `(parseJSON (key "objects"))`, "2.5", `(scratch.Get "t")`, "scratch"}[g.IntN(12)]
	}
	return ""
}

var hostileNames = hostileData()

func (g *grower) call(name string, depth int) string {
	t := g.types[name]
	var b strings.Builder
	fmt.Fprintf(&b, "(%s", name)
	for i := range t.NumIn() {
		in := t.In(i)
		if t.IsVariadic() && i == t.NumIn()-1 {
			for range g.IntN(4) {
				b.WriteString(" " + g.argument(in.Elem(), depth))
			}
			break
		}
		b.WriteString(" " + g.argument(in, depth))
	}
	b.WriteString(")")
	return b.String()
}

func (g *grower) argument(t reflect.Type, depth int) string { return g.value(t.String(), depth) }

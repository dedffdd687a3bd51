package config

import (
	"flag"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"render/cmd/render/config/configtest"
	"render/cmd/render/filetest"
)

var update = flag.Bool("update", false, "write anew what is wanted")

// outcomeOf returns what a command line comes to, and what it is told of.
func outcomeOf(args ...string) (*Plan, Notices, error) {
	flags := new(Flags)
	set := flag.NewFlagSet("render", flag.ContinueOnError)
	set.SetOutput(io.Discard)
	for _, f := range flags.All() {
		set.Var(f, f.Name, f.Setting.Meaning)
	}
	if err := set.Parse(args); err != nil {
		return nil, Notices{}, err
	}
	return Load(flags, os.Environ())
}

// clearVariables lets no variable of those who run the tests count.
func clearVariables(t *testing.T) {
	t.Setenv(LocalConfig, "")
	for _, s := range globalSettings {
		for _, name := range s.Variables() {
			t.Setenv(name, "")
		}
	}
	t.Setenv("VAULT_AGENT_ADDR", "")
	t.Setenv("HOME", t.TempDir()) // which may have a token of Vault
}

// leaves are the fields of a plan by their paths.
func leaves(p *Plan) map[string]string {
	all := make(map[string]string)
	public := *p
	public.loader = nil
	addLeaves(all, "", reflect.ValueOf(&public).Elem())
	return all
}

func addLeaves(all map[string]string, path string, v reflect.Value) {
	if v.CanAddr() { // makes the value of an unexported field readable
		v = reflect.NewAt(v.Type(), unsafe.Pointer(v.UnsafeAddr())).Elem()
	}
	switch value := v.Interface().(type) {
	case syscall.Signal, time.Duration:
		all[path] = fmt.Sprint(value)
		return
	case fs.FileMode:
		all[path] = fmt.Sprintf("%04o", value)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if kind := v.Field(i).Kind(); kind != reflect.Func && kind != reflect.Interface {
				addLeaves(all, strings.TrimPrefix(path+"."+v.Type().Field(i).Name, "."), v.Field(i))
			}
		}
	case reflect.Pointer:
		if !v.IsNil() {
			addLeaves(all, path, v.Elem())
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() != reflect.Struct {
			all[path] = fmt.Sprintf("%q", v.Interface())
			return
		}
		for i := range v.Len() {
			addLeaves(all, fmt.Sprintf("%s[%d]", path, i), v.Index(i))
		}
	case reflect.String:
		all[path] = strconv.Quote(v.String())
	default:
		all[path] = fmt.Sprint(v.Interface())
	}
}

// difference says where a plan is other than one.
func difference(p, than *Plan) string {
	now, before := leaves(p), leaves(than)
	var lines []string
	for _, path := range slices.Sorted(maps.Keys(now)) {
		usual := before[path]
		if usual == "" && strings.Contains(path, "[") { // one more template or action
			i, j := strings.IndexByte(path, '['), strings.IndexByte(path, ']')
			usual = before[path[:i]+"[0"+path[j:]]
		}
		if now[path] != usual {
			lines = append(lines, shortPath.Replace(path)+": "+now[path]+"\n")
		}
	}
	return strings.Join(lines, "")
}

var shortPath = strings.NewReplacer("Engine.Exec.KillSignal", "Exec.KillSignal", "Engine.Targets[", "template[", "Engine.Actions[", "action[", "Engine.", "", "Fixture", "fixture", "Consul.", "consul.", "Vault.", "vault.", "Nomad.", "nomad.", "Log.", "log.", "Listen.", "listen.", "PIDFile", "pidFile", "ReloadSignal", "reloadSignal", "KillSignal", "killSignal", "Dry", "dry", "ParseOnly", "parseOnly", "WatchConfig", "watchConfig")

// usualPlan has one template and one action, and all else as it is where nothing is set.
func usualPlan(t *testing.T) *Plan {
	t.Helper()
	dir := t.TempDir()
	filetest.Write(t, filepath.Join(dir, "a.hcl"), `action "x" {}`)
	p, _, err := outcomeOf("--dry", "--parse-only", "--config", filepath.Join(dir, "a.hcl"), "--template", "a")
	filetest.Check(t, err)
	p.Dry, p.ParseOnly = false, false
	p.Engine.Targets[0].Source, p.Engine.Actions[0].Name = "", ""
	return p
}

// TestConfig tries what files, flags and variables come to. To write anew what is wanted: go test ./cmd/render -run TestConfig -update.
func TestConfig(t *testing.T) {
	paths, err := filepath.Glob("testdata/config/*.txt")
	filetest.Check(t, err)
	clearVariables(t)
	usual := usualPlan(t)
	number := 0
	for _, path := range paths {
		if strings.HasPrefix(filepath.Base(path), "broken") {
			continue
		}
		intro, cases := configtest.Read(t, path)
		number += len(cases)
		for _, c := range cases {
			t.Run(strings.TrimSuffix(filepath.Base(path), ".txt")+"/"+c.Name, func(t *testing.T) {
				dir := t.TempDir()
				args, env := c.Prepare(t, dir)
				clearVariables(t)
				for _, entry := range env {
					name, value, _ := strings.Cut(entry, "=")
					t.Setenv(name, value)
				}
				t.Chdir(dir)
				got := outcome(usual, args)
				if *update {
					c.SetWant(got)
				} else if got != c.Want() {
					t.Errorf("%q: got\n%s\nwant\n%s", args, got, c.Want())
				}
			})
		}
		if *update {
			configtest.Write(t, path, intro, cases)
		}
	}
	t.Logf("%d cases", number)
}

// outcome says what arguments come to.
func outcome(usual *Plan, args []string) string {
	p, notices, err := outcomeOf(args...)
	var lines []string
	if err != nil {
		lines = append(lines, "error: "+err.Error())
	} else {
		lines = append(lines, strings.TrimSuffix(difference(p, usual), "\n"))
	}
	for _, text := range notices.Warn {
		lines = append(lines, "notice: "+text)
	}
	for _, text := range notices.Debug {
		lines = append(lines, "skipped: "+text)
	}
	return strings.Trim(strings.Join(lines, "\n"), "\n")
}

package config

import (
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"render/render/run"

	"render/watch/hint"
)

func TestParseCommand(t *testing.T) {
	for _, tt := range []struct {
		text             string
		command, program run.Command
	}{
		{"", run.Command{}, run.Command{}},
		{" \t", run.Command{}, run.Command{}},
		{"true", args("true"), args("true")},
		{"/bin/true", args("/bin/true"), args("/bin/true")},
		{"nginx -t", shell("nginx -t"), args("nginx", "-t")},
		{"check{}", shell("check{}"), shell("check{}")},
		{"haproxy -c -f {}", shell("haproxy -c -f {}"), shell("haproxy -c -f {}")},
		{"a|b", shell("a|b"), shell("a|b")},
		{"echo 'a b'", shell("echo 'a b'"), shell("echo 'a b'")},
		{"$CMD", shell("$CMD"), shell("$CMD")},
		{"~/bin/x", shell("~/bin/x"), shell("~/bin/x")},
		{"A=b c", shell("A=b c"), shell("A=b c")},
		{"sleep 1\nsleep 2", shell("sleep 1\nsleep 2"), shell("sleep 1\nsleep 2")},
		{"sleep 1\n", shell("sleep 1\n"), args("sleep", "1")},
	} {
		if got := parseCommand(tt.text); !equal(got, tt.command) {
			t.Errorf("parseCommand(%q) = %+v, want %+v", tt.text, got, tt.command)
		}
		if got := parseProgram(tt.text); !equal(got, tt.program) {
			t.Errorf("parseProgram(%q) = %+v, want %+v", tt.text, got, tt.program)
		}
	}
}

// Several servers are a list, or one text.
func TestServers(t *testing.T) {
	text := `consul { address = ["a:1", "b:1"] }
vault { address = ["http://a:2", "http://b:2"] }
nomad { address = ["http://a:3"] }`
	plan, _, err := loadText("a.hcl", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	for got, want := range map[string]string{plan.Consul.Address: "a:1,b:1", plan.Vault.Address: "http://a:2,http://b:2", plan.Nomad.Address: "http://a:3"} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func args(all ...string) run.Command { return run.Command{Args: all} }
func shell(line string) run.Command  { return run.Command{Shell: line} }
func equal(a, b run.Command) bool    { return a.Shell == b.Shell && slices.Equal(a.Args, b.Args) }

func TestParseSignal(t *testing.T) {
	for _, tt := range []struct {
		text string
		want run.Signal
		err  string // part of it; empty for success
	}{
		{"", run.Signal{}, ""},
		{"HUP:/run/nginx.pid", run.Signal{Signal: syscall.SIGHUP, PIDFile: "/run/nginx.pid"}, ""},
		{"SIGHUP:./a:b", run.Signal{Signal: syscall.SIGHUP, PIDFile: "./a:b"}, ""},
		{"usr2:haproxy", run.Signal{Signal: syscall.SIGUSR2, Process: "haproxy"}, ""},
		{"HUP", run.Signal{}, "is not a signal and a process\nhint: write NAME:PROCESS, such as HUP:/run/nginx.pid or HUP:nginx"},
		{"HUP:", run.Signal{}, "is not a signal and a process\nhint: write NAME:PROCESS, such as HUP:/run/nginx.pid or HUP:nginx"},
		{":nginx", run.Signal{}, "is not a signal and a process\nhint: write NAME:PROCESS, such as HUP:/run/nginx.pid or HUP:nginx"},
		{":", run.Signal{}, "is not a signal and a process\nhint: write NAME:PROCESS, such as HUP:/run/nginx.pid or HUP:nginx"},
		{"SIGNULL:nginx", run.Signal{}, "is not a signal and a process\nhint: write NAME:PROCESS, such as HUP:/run/nginx.pid or HUP:nginx"},
		{"1:nginx", run.Signal{}, `there is no signal "1"`},
		{" HUP:nginx", run.Signal{}, `there is no signal " HUP"`},
		{"/run/nginx.pid:HUP", run.Signal{}, "there is no signal"},
	} {
		got, err := parseSignal(tt.text)
		if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(hint.Text(err), tt.err) || err == nil && got != tt.want {
			t.Errorf("parseSignal(%q) = %+v, %v; want %+v, %q", tt.text, got, err, tt.want, tt.err)
		}
	}
}

func TestSignalOf(t *testing.T) {
	for _, name := range []string{"HUP", "hup", "SIGHUP", "sighup", "SigHup"} {
		if s, err := signalOf(name); s != syscall.SIGHUP || err != nil {
			t.Errorf("%q is %v, %v", name, s, err)
		}
	}
	for _, name := range []string{"", "SIGNULL", "signull"} {
		if s, err := signalOf(name); s != 0 || err != nil {
			t.Errorf("%q is %v, %v", name, s, err)
		}
	}
	for _, name := range []string{"SIG", "SIGSIGHUP", "9", "KILLL", "HUP "} {
		if s, err := signalOf(name); err == nil {
			t.Errorf("%q is %v", name, s)
		}
	}
}

func TestParsePerms(t *testing.T) {
	for _, tt := range []struct {
		text string
		want fs.FileMode
		fail bool
	}{
		{"", 0, false},
		{"0640", 0o640, false},
		{"640", 0o640, false},
		{"7", 0o7, false},
		{"4755", 0o755, false},
		{"0", 0, false},
		{"000", 0, false},
		{"4000", 0, false},
		{"888", 0, true},
		{"0o640", 0, true},
		{"-1", 0, true},
		{"10000644", 0, true},
		{"rw-r-----", 0, true},
	} {
		if got, err := parsePerms(tt.text); got != tt.want || (err != nil) != tt.fail {
			t.Errorf("parsePerms(%q) = %o, %v", tt.text, got, err)
		}
	}
}

// Whatever is given, what is taken for a signal or a mode says all of it, and is one that can be used.
func FuzzActionFlags(f *testing.F) {
	for _, seed := range []string{"HUP:/run/nginx.pid", "usr2:haproxy", ":", "SIGNULL:x", "0640", "0", "10000644", "SIG:é/"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if s, err := parseSignal(text); err == nil && text != "" {
			_, process, _ := strings.Cut(text, ":")
			if s.Signal <= 0 || s.PIDFile+s.Process != process || (s.PIDFile == "") == (s.Process == "") {
				t.Errorf("signal %q: %+v", text, s)
			}
		}
		if mode, err := parsePerms(text); err == nil && text != "" {
			if n, err := strconv.ParseUint(text, 8, 64); err != nil || uint64(mode) != n&0o777 {
				t.Errorf("mode %q: %o", text, mode)
			}
		}
	})
}

// TestSignalNames gives each signal that consul-template knows on Unix.
func TestSignalNames(t *testing.T) {
	names := "SIGABRT SIGALRM SIGBUS SIGCONT SIGFPE SIGHUP SIGILL SIGINT SIGIO SIGIOT SIGKILL SIGPIPE SIGPROF SIGQUIT SIGSEGV SIGSTOP SIGSYS SIGTERM SIGTRAP " +
		"SIGTSTP SIGTTIN SIGTTOU SIGUSR1 SIGUSR2 SIGWINCH SIGXCPU SIGXFSZ"
	for name := range strings.FieldsSeq(names) {
		for _, written := range []string{name, strings.ToLower(name), name[:3] + strings.ToLower(name[3:]), name[3:]} {
			if s, err := signalOf(written); err != nil || s == 0 {
				t.Errorf("%s: got %v, %v", written, s, err)
			}
		}
	}
	for _, none := range []string{"", "SIGNULL", "signull"} {
		if s, err := signalOf(none); err != nil || s != 0 {
			t.Errorf("%q: got %v, %v", none, s, err)
		}
	}
	if s, err := signalOf("SIGIOT"); s != syscall.SIGABRT {
		t.Errorf("SIGIOT is %v, %v", s, err)
	}
}

// TestWordsNeedNoShell: a program of plain words is run without sh, which may not be there.
func TestWordsNeedNoShell(t *testing.T) {
	for text, shell := range map[string]bool{
		"nginx":                       false,
		" haproxy -W  -f /etc/h.cfg ": false,
		"server --port=80 --pct=5%":   false,
		"PORT=80 server":              true,
		"server 'a b'":                true,
		"server $PORT":                true,
		"a && b":                      true,
		"a *":                         true,
		"a ~/b":                       true,
		"exec server --port=80":       true,
		"ulimit -n":                   true,
		". /etc/default/server":       true,
		"exec":                        false,
		"executor run":                false,
	} {
		if c := parseProgram(text); (c.Shell != "") != shell || !shell && !slices.Equal(c.Args, strings.Fields(text)) {
			t.Errorf("%q is run as %+v", text, c)
		}
	}
	if c := parseProgram(" "); !c.IsZero() {
		t.Errorf("blanks are run as %+v", c)
	}
}

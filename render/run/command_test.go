package run

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestCommandString(t *testing.T) {
	for want, c := range map[string]Command{
		"":        {},
		"a | b":   {Shell: "a | b"},
		"a b  c ": {Args: []string{"a", "b ", "c "}},
	} {
		if got := c.String(); got != want || c.IsZero() != (want == "") {
			t.Errorf("got %q, want %q; zero: %t", got, want, c.IsZero())
		}
	}
}

func TestTakesFile(t *testing.T) {
	for _, test := range []struct {
		command Command
		want    bool
	}{
		{Command{}, false},
		{Command{Shell: "nginx -t"}, false},
		{Command{Shell: "nginx -t -c {}"}, true},
		{Command{Shell: `visudo -cf "{}"`}, true},
		{Command{Shell: "exit 1 # {}"}, true}, // one that only wants to run before the swap
		{Command{Args: []string{"{", "}"}}, false},
		{Command{Args: []string{"a", "--file={}"}}, true},
	} {
		if got := test.command.TakesFile(); got != test.want {
			t.Errorf("%q: got %t", test.command, got)
		}
	}
}

func TestWithFile(t *testing.T) {
	for _, test := range []struct{ line, path, want string }{
		{"nginx -t", "/a b", "nginx -t"},
		{"cat {}{}", "/a", "cat '/a''/a'"},
		{"cat {}", "/it's", `cat '/it'\''s'`},
		{"cat {}", "-n", "cat './-n'"},
		{`cat "{}"`, "/a b", `cat "/a b"`},
		{`cat "x {} $(cat {}) {}"`, `/"$a`, `cat "x /\"\$a $(cat '/"$a') /\"\$a"`},
		{`sh -c 'cat {}'`, "/it's", `sh -c 'cat /it'\''s'`},
		{`echo \{} \\{} '\{}' "\{}"`, "/a", `echo \{} \\'/a' '\/a' "\{}"`},
		{"true # don't touch {}\ncat {}", "/a\nreboot", "true # don't touch {}\ncat '/a\nreboot'"},
		{`echo $# a#{} "${#x}" {}`, "/a", `echo $# a#'/a' "${#x}" '/a'`},
		{"echo `cat {}`", "/a`\\'", "echo `cat '/a\\`\\\\'\\\\'''`"},
		{"cat <<EOF; cat {}\ndon't {} $(cat {})\nEOF\ncat {}", "/$a'", "cat <<EOF; cat '/$a'\\'''\ndon't /\\$a' $(cat '/$a'\\''')\nEOF\ncat '/$a'\\'''"},
		{"cat <<-'EOF'\n\t\"{}\n\tEOF\ncat {}", "/$a", "cat <<-'EOF'\n\t\"/$a\n\tEOF\ncat '/$a'"},
		{"echo $((1<<2)) {}\n{}", "/a", "echo $((1<<2)) '/a'\n'/a'"},
		{"cat <<<{}", "/a", "cat <<<'/a'"},
		// What sh does not take either is copied as it is.
		{"cat '{}", "/a b", "cat '/a b"},
		{`cat "{}`, "/a b", `cat "/a b`},
		{"cat `{}", "/a b", "cat `{}"},
		{`cat {} \`, "/a", `cat '/a' \`},
		{"cat {} \x00'{}'", "/a", "cat '/a' \x00'/a'"},
		{"cat {} <<", "/a", "cat '/a' <<"},
	} {
		if got := (Command{Shell: test.line}).WithFile(test.path); got.Shell != test.want || got.Args != nil {
			t.Errorf("%s with %q\n got %+v\nwant %s", test.line, test.path, got, test.want)
		}
	}
	args := Command{Args: []string{"a", "--file={}", "{} {}", "'"}}
	want := []string{"a", "--file=/it's $x", "/it's $x /it's $x", "'"}
	if got := args.WithFile("/it's $x"); !slices.Equal(got.Args, want) || got.Shell != "" {
		t.Errorf("got %q, want %q", got.Args, want)
	}
	if args.Args[1] != "--file={}" {
		t.Error("the command itself was changed")
	}
}

// quotings are lines for sh that print the path once, without a line break after it.
var quotings = []string{
	`printf %s {}`,
	`printf %s "{}"`,
	`printf %s '{}'`,
	`printf %s "$(printf '%s.' {})" | sed '$s/\.$//'`,
	`printf %s "$(printf '%s.' "{}")" | sed '$s/\.$//'`,
	"x=`printf %s. {}`; printf %s \"${x%.}\"",
	"x=\"`printf %s. {}`\"; printf %s \"${x%.}\"",
	"x=\"`printf %s. \\\"{}\\\"`\"; printf %s \"${x%.}\"",
	"x=`printf %s. \"{}\"`; printf %s \"${x%.}\"",
	"x=`printf %s. \\`printf %s x\\`{}`; x=${x#x}; printf %s \"${x%.}\"",
	"x=$(\n# it's {} \"\nprintf %s. {}); printf %s \"${x%.}\"",
	"(printf %s {})",
	"f() { printf %s \"$1\"; }; f {}",
	"cat <<'END' >&2\n don't \" `\nEND\nprintf %s {}",
	"cat <<END >&2\n don't \"\nEND\nprintf %s \"{}\"",
	"echo $((1<<2)) >&2\nprintf %s \"{}\"",
	"echo \"it's\" \\\" '\"' \\' >&2; printf %s '{}'",
}

// shells are the shells that sh may be, as far as they are installed.
func shells() (paths []string) {
	for _, name := range []string{"sh", "dash", "bash", "busybox", "ksh", "zsh"} {
		if path, err := exec.LookPath(name); err == nil {
			paths = append(paths, path)
		}
	}
	return paths
}

// as returns a command that runs a line with a shell as sh.
func as(shell, line string) *exec.Cmd {
	cmd := exec.Command(shell, "-c", line)
	cmd.Args[0] = "sh"
	return cmd
}

var hostilePaths = []string{
	"/etc/nginx/nginx.conf", "a b", "it's", `"quoted"`, "$HOME", "${x:-y}", "$(echo oops)", "`echo oops`", "a;echo b", "a\nb", "a\n", "\n#",
	"-n", "--help", "ü", "\xff\xfe", `back\slash`, `\`, `\\`, `\n`, `\$`, "\\`", `\"`, `\'`, "*", "?", "[a-z]*", "~", "~root", "{a,b}", "{}", "!!", "%s", "#", "a #b",
	"'", "''", `'"'`, `"'"`, "`", "$", "$'", `$"`, "&", "|", ">x", "<x", "(", ")", "))", "$((1+1))", "END", "\t", "\r", " ", "=", "a=b", strings.Repeat("'x`\"\\$", 40),
}

// wantPath has all quotings printed by a shell.
func wantPath(t *testing.T, shell, path string) {
	t.Helper()
	want := path
	if strings.HasPrefix(path, "-") {
		want = "./" + path
	}
	var script strings.Builder
	var lines []string
	for _, line := range quotings {
		if strings.Contains(line, "sed") && strings.ContainsFunc(path, func(r rune) bool { return r == '\n' || r == utf8.RuneError }) {
			continue // sed's, not ours
		}
		filled := Command{Shell: line}.WithFile(path)
		script.WriteString("(\n" + filled.Shell + "\n)\nprintf '\\000'\n")
		lines = append(lines, line)
	}
	out, err := as(shell, script.String()).Output()
	got := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
	if err != nil || len(got) != len(lines) {
		t.Fatalf("%s with %q: got %q, %v; the lines are\n%s", filepath.Base(shell), path, got, err, script.String())
	}
	for i, line := range lines {
		if got[i] != want {
			t.Errorf("%s: %s with %q: got %q; the line is %s", filepath.Base(shell), line, path, got[i], Command{Shell: line}.WithFile(path))
		}
	}
}

// Whatever a path is and whatever quotes stand around {}, a shell reads the path and runs nothing of it.
func TestWithFileInShells(t *testing.T) {
	t.Chdir(t.TempDir()) // for what might be run
	for _, shell := range shells() {
		for _, path := range hostilePaths {
			wantPath(t, shell, path)
		}
	}
	if left, err := os.ReadDir("."); err != nil || len(left) > 0 {
		t.Errorf("a path was run: it has left %v, %v", left, err)
	}
}

func FuzzWithFile(f *testing.F) {
	for _, path := range []string{"a b", "it's", "$(x)`y`", `\"`, "-\n"} {
		f.Add(path)
	}
	all := shells()
	f.Fuzz(func(t *testing.T, path string) {
		if path == "" || strings.ContainsRune(path, 0) || len(path) > 4096 {
			t.Skip("not a path")
		}
		for _, shell := range all {
			wantPath(t, shell, path)
		}
	})
}

// A line of any kind is filled without a panic, and one without {} stays.
func FuzzFillShell(f *testing.F) {
	for _, line := range quotings {
		f.Add(line, "/a'b")
	}
	f.Add("<<", "x")
	f.Add("{}\\", "x")
	f.Fuzz(func(t *testing.T, line, path string) {
		got := fillShell(line, path)
		if !strings.Contains(line, fileMark) && got != line {
			t.Errorf("%q became %q", line, got)
		}
		if again := fillShell(line, fileMark); len(again) < len(line) && !strings.Contains(line, "`") {
			t.Errorf("%q lost something: %q", line, again)
		}
	})
}

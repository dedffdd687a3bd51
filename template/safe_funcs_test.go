package template_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"render/template"
	"render/watch"
)

func TestHostport(t *testing.T) {
	for _, c := range []struct{ address, port, want string }{
		{"10.0.0.1", "80", "10.0.0.1:80"},
		{"2001:DB8::1", "80", "[2001:db8::1]:80"},
		{"::ffff:10.0.0.1", "80", "[::ffff:10.0.0.1]:80"},
		{"web-1.example.", "65535", "web-1.example.:65535"},
		{"my_app", "1", "my_app:1"},
		{"4c01db0b339c", "080", "4c01db0b339c:80"},
		{strings.Repeat("a", 63) + ".b", "80", strings.Repeat("a", 63) + ".b:80"},
		{strings.Repeat("a.", 126) + "b", "80", strings.Repeat("a.", 126) + "b:80"},

		{"10.0.0.1", "0", ""}, {"10.0.0.1", "65536", ""}, {"10.0.0.1", "-1", ""}, {"10.0.0.1", "", ""},
		{"10.0.0.1", "http", ""}, {"10.0.0.1", "80;", ""}, {"10.0.0.1", "+80", ""}, {"10.0.0.1", "8e1", ""},
		{"", "80", ""}, {".", "80", ""}, {"a..b", "80", ""}, {".a", "80", ""}, {"-a", "80", ""}, {"a-", "80", ""},
		{"fe80::1%eth0", "80", ""}, {"fe80::1%a;b", "80", ""}, {"[::1]", "80", ""}, {"::g", "80", ""}, {"a:b", "80", ""},
		{"10.0.0.256", "80", ""}, {"127.1", "80", ""}, {"2130706433", "80", ""}, {"0x7f.0x1", "80", ""}, {"010.0.0.1", "80", ""},
		{"unix", "80", ""}, {"UNIX", "80", ""}, {"unix:/run/x", "80", ""}, {"unix@x", "80", ""}, {"/run/x", "80", ""},
		{"a b", "80", ""}, {"a;b", "80", ""}, {"a\n", "80", ""}, {"$host", "80", ""}, {"a\x00", "80", ""}, {"é", "80", ""}, {"*", "80", ""},
		{strings.Repeat("a", 64), "80", ""}, {strings.Repeat("a.", 127) + "b", "80", ""},
	} {
		text := fmt.Sprintf(`{{hostport %q %q}}`, c.address, c.port)
		r := parse(t, text).Execute(t.Context(), answers{}.lookup)
		if string(r.Output) != c.want || !r.Finished() || (len(r.Dropped) == 1) != (c.want == "") {
			t.Errorf("%s: got %q, dropped %v, error %v; want %q", text, r.Output, r.Dropped, r.Err, c.want)
		}
	}
}

func TestHostportDrops(t *testing.T) {
	known := answers{service("web"): []*watch.HealthService{
		{Node: "n1", ID: "web-1", Address: "10.0.0.1", Port: 80},
		{Node: "n2", ID: "web-2", Address: "a; }", Port: 80},
		{Node: "n3", ID: "web-3", Address: "::1", Port: 80},
		{Node: "n4", ID: "web-4", Address: "10.0.0.4", Port: 0},
	}}
	tmpl := parse(t, `{{range service "web"}}{{with hostport .}}server {{.}};{{end}}{{end}}{{hostport "10.0.0.5" (parseJSON "8080")}}`)
	for range 2 { // a pass knows nothing of the one before
		r := tmpl.Execute(t.Context(), known.lookup)
		if got, want := string(r.Output), "server 10.0.0.1:80;server [::1]:80;10.0.0.5:8080"; got != want {
			t.Errorf("got %q, %v; want %q", got, r.Err, want)
		}
		want := []template.Dropped{
			{ID: "web-2", Node: "n2", Reason: "the address is neither an IP address nor a host name"},
			{ID: "web-4", Node: "n4", Reason: "the port is not a number from 1 to 65535"},
		}
		if !reflect.DeepEqual(r.Dropped, want) {
			t.Errorf("dropped %v; want %v", r.Dropped, want)
		}
	}
}

func TestSafeFuncErrors(t *testing.T) {
	known := answers{
		kv("nul"): "canary\x00", kv("dollar"): "canary$x", kv("percent"): "canary%x", kv("bytes"): "canary\xff", kv("empty"): "",
		kv("long"): strings.Repeat("canary", 700), service("web"): []*watch.HealthService{{}},
	}
	for _, c := range []struct{ call, want string }{
		{`nginxQuote (key "nul")`, `nginxQuote: the text contains a NUL byte, which a configuration file cannot have`},
		{`nginxQuote (key "dollar")`, `nginxQuote: the text contains $, which begins a variable in nginx and cannot be escaped`},
		{`nginxQuote (key "long")`, `nginxQuote: the text is too long: nginx accepts 4096 bytes with quotes and escapes`},
		{`haproxyQuote (key "nul")`, `haproxyQuote: the text contains a NUL byte, which a configuration file cannot have`},
		{`haproxyQuote (key "percent")`, `haproxyQuote: the text contains %, which begins a variable in many places of HAProxy and has no escape that works in all of them`},
		{`haproxyQuote (key "empty")`, `haproxyQuote: the text is empty, which ends the line in HAProxy`},
		{`shellQuote (key "nul")`, `shellQuote: the text contains a NUL byte, which a configuration file cannot have`},
		{`jsonQuote (key "bytes")`, `jsonQuote: the text is not valid UTF-8`},
		{`yamlQuote (key "bytes")`, `yamlQuote: the text is not valid UTF-8`},
		{`tomlQuote (key "bytes")`, `tomlQuote: the text is not valid UTF-8`},
		{`shellQuote nil`, `shellQuote: accepts a text, a number or a bool, not a value of the type <nil>`},
		{`jsonQuote (service "web")`, `jsonQuote: accepts a text, a number or a bool, not a value of the type []*watch.HealthService`},
		{`hostport 1`, `hostport: needs an instance of a service, or an address and a port`},
		{`hostport "10.0.0.1"`, `hostport: needs an instance of a service, or an address and a port`},
		{`hostport (index (service "web") 0) 80`, `hostport: needs an instance of a service, or an address and a port`},
	} {
		r := parse(t, "{{"+c.call+"}}").Execute(t.Context(), known.lookup)
		if want := "t:1:3: " + c.want; r.Err == nil || r.Err.Error() != want {
			t.Errorf("%s\n got %v\nwant %s", c.call, r.Err, want)
		}
	}
	if got, want := output(t, `{{jsonQuote 1.5}} {{shellQuote true}} {{nginxQuote (parseJSON "10000000")}}`, known), `"1.5" 'true' "10000000"`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// The limit of nginx is where nginx has it: see TestNginxReadsBack.
func TestNginxQuoteLength(t *testing.T) {
	for n, ok := range map[int]bool{4094: true, 4095: false} {
		if _, err := quote(t, "nginxQuote", strings.Repeat("x", n)); (err == nil) != ok {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

// quote returns what a template makes of a value by one of the quoters.
func quote(t testing.TB, quoter, value string) (token string, err error) {
	r := parse(t, `{{key "v" | `+quoter+`}}`).Execute(t.Context(), answers{kv("v"): value}.lookup)
	return string(r.Output), r.Err
}

// hostile returns texts that try to leave their token.
func hostile() []string {
	fragments := []string{
		"a", "web-1", " ", "\t", "\n", "\r", "\r\n", "\x00", "\x01", "\x7f", "\x80", "\xff", "é", "\u2028", "\ufeff", "🙂",
		`"`, `'`, "`", `\`, `\\`, `\"`, `\'`, `\n`, `\t`, `\x27`, `\x22`, `\u0022`, "\\\n", ";", "; ", "{", "}", "(", ")", "[", "]", ",", ":", "=",
		"#", " # ", "//", "/*", "$", "$uri", "${HOME}", "\"$HOME\"", "`id`", "$(id)", "%", "%[env(HOME)]", "%%", "!", "~", "*", "-", "|", "&", "<", ">",
		"; } include /etc/passwd; {", "\nuser root;\n", "\n  bind :1\n", " if { always_true }", "'; echo x; '", "\": 1, \"", "default", "unless",
		strings.Repeat("x", 1000), strings.Repeat(`\`, 999), strings.Repeat(`"`, 100), strings.Repeat("'", 101),
	}
	texts := append([]string{""}, fragments...)
	random := rand.New(rand.NewPCG(1, 2))
	for len(texts) < 4000 {
		var b strings.Builder
		for range 1 + random.IntN(8) {
			b.WriteString(fragments[random.IntN(len(fragments))])
		}
		texts = append(texts, b.String())
	}
	for n := 4080; n <= 4094; n++ {
		texts = append(texts, strings.Repeat("x", n))
	}
	return texts
}

// quoteHostile returns those hostile texts that a quoter takes, and their tokens. It takes all but those that are impossible.
func quoteHostile(t *testing.T, quoter string, impossible func(text string) bool) (texts, tokens []string) {
	t.Helper()
	for _, text := range hostile() {
		token, err := quote(t, quoter, text)
		if (err != nil) != impossible(text) {
			t.Errorf("%s of %q: %v", quoter, text, err)
		}
		if err == nil {
			texts, tokens = append(texts, text), append(tokens, token)
		}
	}
	return texts, tokens
}

// The real nginx reads a quoted text as that text.
func TestNginxReadsBack(t *testing.T) {
	t.Parallel()
	texts, tokens := quoteHostile(t, "nginxQuote", func(text string) bool {
		return strings.ContainsAny(text, "\x00$") || len(text)+strings.Count(text, `\`)+strings.Count(text, `"`)+
			strings.Count(text, "\n")+strings.Count(text, "\r")+strings.Count(text, "\t") > 4094
	})
	var maps strings.Builder
	maps.WriteString("\tmap $uri $text {\n\t\tdefault absent;\n")
	for i, token := range tokens {
		fmt.Fprintf(&maps, "\t\t/%d %s;\n", i, token)
	}
	maps.WriteString("\t}\n")
	nginxReadsBack(t, maps.String(), "$text", texts)
}

// nginxReadsBack runs a real nginx with some map blocks, and compares what it answers, a value that uses these, to a request for each
// /NUMBER.
func nginxReadsBack(t *testing.T, maps, answer string, texts []string) {
	t.Helper()
	binary, dir := find(t, "nginx"), t.TempDir()
	conf := fmt.Sprintf(`
daemon off;
master_process off;
pid %[1]s/nginx.pid;
error_log %[1]s/error.log;
events {}
http {
	access_log off;
	client_body_temp_path %[1]s/body;
	proxy_temp_path %[1]s/proxy;
	fastcgi_temp_path %[1]s/fastcgi;
	uwsgi_temp_path %[1]s/uwsgi;
	scgi_temp_path %[1]s/scgi;
	keepalive_requests 100000;
	map_hash_max_size 65536;
	map_hash_bucket_size 256;
%[2]s
	server {
		listen unix:%[1]s/socket;
		default_type text/plain;
		return 200 %[3]s;
	}
}
`, dir, maps, answer)
	path := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(path, []byte(conf), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), binary, "-t", "-p", dir, "-c", path).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	readsBack(t, exec.CommandContext(t.Context(), binary, "-p", dir, "-c", path), filepath.Join(dir, "socket"), texts)
}

// The real HAProxy reads a quoted text as that text.
func TestHAProxyReadsBack(t *testing.T) {
	t.Parallel()
	binary, dir := find(t, "haproxy"), t.TempDir()
	texts, tokens := quoteHostile(t, "haproxyQuote", func(text string) bool {
		return text == "" || strings.ContainsAny(text, "\x00%")
	})
	var conf strings.Builder
	fmt.Fprintf(&conf, `
global
	tune.bufsize 65536
defaults
	mode http
	timeout connect 10s
	timeout client 10s
	timeout server 10s
frontend test
	bind unix@%s/socket
`, dir)
	for i, token := range tokens {
		fmt.Fprintf(&conf, "\thttp-request return status 200 content-type text/plain string %s if { path /%d }\n", token, i)
	}
	path := filepath.Join(dir, "haproxy.cfg")
	if err := os.WriteFile(path, []byte(conf.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	readsBack(t, exec.CommandContext(t.Context(), binary, "-db", "-f", path), filepath.Join(dir, "socket"), texts)
}

// readsBack runs a server until it has answered a request for each /NUMBER, and compares what it says.
func readsBack(t *testing.T, cmd *exec.Cmd, socket string, texts []string) {
	t.Helper()
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	defer func() {
		_ = cmd.Process.Kill()
		<-ended
	}()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if conn, err := net.Dial("unix", socket); err == nil {
			conn.Close()
			break
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("%v ended: %v\n%.2000s", cmd, err, said.String())
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("%v does not listen", cmd)
		}
	}
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: 10 * time.Second}
	for i, want := range texts {
		response, err := client.Get("http://test/" + strconv.Itoa(i))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil || response.StatusCode != http.StatusOK || string(got) != want {
			t.Errorf("%q came back as %q, %s, %v", want, got, response.Status, err)
		}
	}
}

// The real shell reads a quoted text as that text: many of them in one command.
func TestShellReadsBack(t *testing.T) {
	texts, tokens := quoteHostile(t, "shellQuote", func(text string) bool { return strings.Contains(text, "\x00") })
	script := `printf '%s\0' ` + strings.Join(tokens, " ") + "\n"
	cmd := exec.CommandContext(t.Context(), "sh")
	cmd.Stdin = strings.NewReader(script)
	out, err := cmd.Output()
	if want := strings.Join(texts, "\x00") + "\x00"; err != nil || string(out) != want {
		t.Errorf("%d bytes came back as %d, %v", len(want), len(out), err)
	}
}

// find returns the path of a program. Debian keeps some out of users' PATH.
func find(t *testing.T, program string) string {
	t.Helper()
	for _, name := range []string{program, "/usr/sbin/" + program} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("there is no %[1]s: run `make %[1]s`", program)
	}
	t.Skipf("there is no %[1]s: run `make %[1]s`", program)
	return ""
}

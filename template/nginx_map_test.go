package template_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// In a map block of the real nginx the key is the text, whatever nginx takes such words for.
func TestNginxMapKey(t *testing.T) {
	t.Parallel()
	binary, dir := find(t, "nginx"), t.TempDir()
	keys := []string{
		"include", "default", "hostnames", "volatile", "~x", "~*x", "~^(", `\~x`, `\`, `\\`, `\default`, "a b", `"`, `'`, `"quoted"`, "'", ";", "{", "}", "; }", "#", "a # b",
		"*.example.com", ".example.com", "www.example.*", "", " ", "\t", "\n", "\r\n", "é", "é;", "web-1", "UPPER", "-x", "/etc/passwd", "include /etc/passwd;",
	}
	var maps strings.Builder
	var want []string
	texts := "x"
	for i, key := range keys {
		token, err := quote(t, "nginxMapKey", key)
		if err != nil {
			t.Fatalf("%q: %v", key, err)
		}
		source, err := quote(t, "nginxQuote", key)
		if err != nil {
			t.Fatalf("%q: %v", key, err)
		}
		fmt.Fprintf(&maps, "\tmap %s $r%d { default absent; %s found%d; }\n", source, i, token, i)
		texts += fmt.Sprintf(" $r%d", i)
		want = append(want, fmt.Sprintf("found%d", i))
	}
	for i, key := range []string{"$", "$uri", "${uri}", "a$b", "~$uri", "$nosuchvariable"} { // nginx has no way to write these as a source
		token, err := quote(t, "nginxMapKey", key)
		if err != nil {
			t.Fatalf("%q: %v", key, err)
		}
		fmt.Fprintf(&maps, "\tmap $uri $s%d { default absent; %s found; /0 \"\"; }\n", i, token)
	}
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
	map_hash_bucket_size 256;
%[2]s
	server {
		listen unix:%[1]s/socket;
		default_type text/plain;
		return 200 "%[3]s";
	}
}
`, dir, maps.String(), texts)
	path := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(path, []byte(conf), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), binary, "-t", "-p", dir, "-c", path).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	readsBack(t, exec.CommandContext(t.Context(), binary, "-p", dir, "-c", path), filepath.Join(dir, "socket"), []string{"x " + strings.Join(want, " ")})

	for _, key := range []string{"a\x00b", strings.Repeat("x", 5000)} {
		if _, err := quote(t, "nginxMapKey", key); err == nil {
			t.Errorf("%.10q is a key", key)
		}
	}
}

package examples

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

func TestNginxAccepts(t *testing.T) {
	binary := find(t, "nginx", "nginx")
	for name, catalog := range catalogs(t, "nginx") {
		t.Run(name, func(t *testing.T) {
			upstreams, err := renderExample(t, "nginx/upstreams.ctmpl", catalog)
			if err != nil {
				t.Fatal(err)
			}
			checkLines(t, upstreams, nginxLine)
			if name == "hostile" && !bytes.Contains(upstreams, []byte(" 10.0.0.1:80 ")) {
				t.Error("the good instance of web is gone")
			}
			dir := t.TempDir()
			conf := fmt.Sprintf(`
pid %[1]s/nginx.pid;
error_log %[1]s/error.log;
events {}
http {
	client_body_temp_path %[1]s/body;
	proxy_temp_path %[1]s/proxy;
	fastcgi_temp_path %[1]s/fastcgi;
	uwsgi_temp_path %[1]s/uwsgi;
	scgi_temp_path %[1]s/scgi;
	include %[1]s/upstreams.conf;
}
`, dir)
			write(t, filepath.Join(dir, "upstreams.conf"), upstreams)
			write(t, filepath.Join(dir, "nginx.conf"), []byte(conf))
			run(t, binary, "-t", "-p", dir, "-c", filepath.Join(dir, "nginx.conf"))
		})
	}
}

func write(t *testing.T, path string, contents []byte) {
	t.Helper()
	if err := os.WriteFile(path, contents, 0o644); err != nil {
		t.Fatal(err)
	}
}

package examples

import (
	"bytes"
	"path/filepath"
	"testing"
)

func TestHAProxyAccepts(t *testing.T) {
	binary := find(t, "haproxy", "haproxy")
	for name, catalog := range catalogs(t, "haproxy") {
		t.Run(name, func(t *testing.T) {
			conf, err := renderExample(t, "haproxy/haproxy.ctmpl", catalog)
			if err != nil {
				t.Fatal(err)
			}
			checkLines(t, conf, haproxyLine)
			if name == "hostile" && !bytes.Contains(conf, []byte(" 10.0.0.1:80 ")) {
				t.Error("the good instance of web is gone")
			}
			path := filepath.Join(t.TempDir(), "haproxy.cfg")
			write(t, path, conf)
			run(t, binary, "-c", "-f", path)
		})
	}
}

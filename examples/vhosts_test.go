package examples

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var vhostsLine = regexp.MustCompile(`^(?:| *#.*|upstream [a-z0-9-]+ \{|server \{|    location / \{|    \}|\}|    listen 8080( default_server)?;|    return 404; #.*|` +
	`    server ` + place + `;|    server 127\.0\.0\.1:9 down; # no instance of [a-z0-9-]+ is passing; .*|    keepalive 8;|    server_name [a-z0-9.-]+;|` +
	`        (?:proxy_pass http://[a-z0-9-]+|proxy_http_version 1.1|proxy_set_header [\w-]+ (?:""|\$\w+));)$`)

func TestVhostsAccepted(t *testing.T) {
	nginx := find(t, "nginx", "nginx")
	conf, err := os.ReadFile("vhosts/nginx.conf")
	if err != nil {
		t.Fatal(err)
	}
	all := catalogs(t, "vhosts")
	editCatalog(t, all["hostile"], func(data *catalogData) {
		data.Keys = map[string]string{"vhosts/domain": "example.com\n", "vhosts/hosts/" + strings.Repeat(strings.Repeat("a", 63)+".", 8) + "b": "web"}
		for name, instances := range data.Services {
			data.Keys["vhosts/hosts/"+name] = "web"
			data.Keys["vhosts/hosts/x-"+name] = name
			for _, instance := range instances {
				instance["tags"] = []string{"vhost"}
			}
		}
	})
	for name, catalog := range all {
		t.Run(name, func(t *testing.T) {
			vhosts, err := renderExample(t, "vhosts/vhosts.ctmpl", catalog)
			if err != nil {
				t.Fatal(err)
			}
			checkLines(t, vhosts, vhostsLine)
			if name == "hostile" && (!strings.Contains(string(vhosts), " 10.0.0.1:80;") || !strings.Contains(string(vhosts), "server_name web.example.com;")) {
				t.Error("the good instance of web is gone")
			}
			dir := t.TempDir()
			write(t, filepath.Join(dir, "vhosts.conf"), vhosts)
			write(t, filepath.Join(dir, "nginx.conf"), conf)
			run(t, nginx, "-t", "-p", dir, "-c", "nginx.conf")
		})
	}
}

// A domain that is none leads to no file.
func TestVhostsHostileDomain(t *testing.T) {
	for _, domain := range []string{"", "a; attacker on", "a\nattacker", "*.example.com", "Example.com", ".a", "a..b"} {
		text, err := json.Marshal(catalogData{Keys: map[string]string{"vhosts/domain": domain}})
		if err != nil {
			t.Fatal(err)
		}
		catalog := filepath.Join(t.TempDir(), "catalog.yaml")
		write(t, catalog, text)
		if out, err := renderExample(t, "vhosts/vhosts.ctmpl", catalog); err == nil || strings.Contains(err.Error(), "attacker") {
			t.Errorf("%q: %v, %s", domain, err, out)
		}
	}
}

type catalogData struct {
	Services map[string][]map[string]any `json:"services,omitempty"`
	Keys     map[string]string           `json:"keys,omitempty"`
}

// editCatalog changes a fixture that catalogs has made.
func editCatalog(t *testing.T, path string, edit func(*catalogData)) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var data catalogData
	if err := json.Unmarshal(text, &data); err != nil {
		t.Fatal(err)
	}
	edit(&data)
	if text, err = json.Marshal(data); err != nil {
		t.Fatal(err)
	}
	write(t, path, text)
}

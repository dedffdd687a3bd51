package template_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"render/watch"
)

// What is from an answer is shortened, and said to be from there.
func TestShow(t *testing.T) {
	const text = `{{key "app/port" (dc "dc2")}}{{key (key "a")}}{{range service (printf "%s-api" .x) (tag "v1")}}{{end}}{{meta "env" "prod"}}{{print "app/" .x}}`
	const uuid = "6c1f0d3a-2b4e-4f5a-9c8d-7e6f5a4b3c2d"
	tmpl := parse(t, text)
	for _, c := range []struct {
		q    watch.Query
		want string
	}{
		{kv("app/port"), "kv app/port"},
		{query(watch.KindKV, "app/port", "dc=dc2"), "kv app/port (dc=dc2)"},
		{query(watch.KindNodes, "", ""), "nodes"},
		{kv("hunter2"), "kv hunter2 (from an answer)"},
		{kv(uuid), "kv 6c1f0d3a-2b4e-4f5a-9c8d-... (from an answer)"},
		{kv("app/" + uuid), "kv app/6c1f0d3a-2b4e-4f5a-9c8d-... (from an answer)"},
		{kv("app/port/web"), "kv app/port/web (from an answer)"},
		{service("web-api"), "service web-api (from an answer)"},
		{query(watch.KindService, "app", "tag=v1"), "service app (tag=v1)"},
		{query(watch.KindService, "app", "tag="+uuid), "service app (tag=6c1f0d3a-2b4e-4f5a-9c8d-...) (from an answer)"},
		{query(watch.KindService, "app", "meta=env%3Dprod"), "service app (meta=env%3Dprod)"},
		{query(watch.KindService, "app", "meta=env%3D"+uuid), "service app (meta=env%3D6c1f0d3a-2b4e-4f5a-9c8d-...) (from an answer)"},
		{query(watch.KindService, "app", "status=any"), "service app (status=any)"},
		{query(watch.KindFile, "app", "sandbox=%2Fsrv"), "file app (sandbox=%2Fsrv)"},
		{query(watch.KindFile, "/etc/"+uuid, ""), "file /etc/6c1f0d3a-2b4e-4f5a-9... (from an answer)"},
		{watch.NewPlugin("p", []string{"p", uuid}, true), "plugin p"},
	} {
		if got := tmpl.Show(c.q); got != c.want {
			t.Errorf("%+v\n got %s\nwant %s", c.q, got, c.want)
		}
	}
	for n := range 60 { // whatever the place of the cut
		name := strings.Repeat("x", n) + strings.Repeat("é…\xff", 20)
		if got := tmpl.Show(kv(name)); !utf8.ValidString(got) || len(got) > len("kv ... (from an answer)")+maxForeign+1 {
			t.Errorf("%q: got %q", name, got)
		}
	}
}

// maxForeign is that of package template.
const maxForeign = 24

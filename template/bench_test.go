package template_test

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"render/template"
	"render/watch"
)

func bench(b *testing.B, text string, known answers) {
	tmpl := parse(b, text)
	r := tmpl.Execute(b.Context(), known.lookup)
	if !r.Finished() {
		b.Fatalf("did not finish: pending %v, error %v", r.Pending, r.Err)
	}
	b.SetBytes(int64(len(r.Output)))
	b.ReportAllocs()
	for b.Loop() {
		tmpl.Execute(b.Context(), known.lookup)
	}
}

// fleet returns services of five instances each.
func fleet(n int) answers {
	known := make(answers)
	var services []*watch.CatalogSnippet
	for i := range n {
		services = append(services, &watch.CatalogSnippet{Name: fmt.Sprintf("service-%04d", i)})
		known.put(i, 0)
	}
	known[query("services", "", "")] = services
	known[kv("nginx/keepalive")], known[kv("haproxy/sorry")] = nil, nil
	return known
}

// put answers with a version of service i: its passing instances, and those that the recipe of HAProxy also uses.
func (a answers) put(i, version int) {
	name := fmt.Sprintf("service-%04d", i)
	a[service(name)] = instances(i, version)
	a[query(watch.KindService, name, "status=maintenance&status=passing&status=warning")] = a[service(name)]
}

// instances returns those of service i, in one of many versions.
func instances(i, version int) (all []*watch.HealthService) {
	name := fmt.Sprintf("service-%04d", i)
	for j := range 5 {
		all = append(all, &watch.HealthService{
			ID: fmt.Sprintf("%s-%d", name, j), Name: name, Address: fmt.Sprintf("10.%d.%d.%d", i/256, i%256, j), Port: 8000 + j + version%1000,
			Status: watch.StatusPassing, Weights: watch.ServiceWeights{Passing: 1, Warning: 1},
		})
	}
	return all
}

const blocks = `{{range services}}{{$name := .Name}}
upstream {{$name}} {
{{- range service $name}}
    server {{.Address}}:{{.Port}} weight={{.Weights.Passing}};
{{- else}}
    server 127.0.0.1:9 down;
{{- end}}
}
{{end}}`

// 1,000 services of five instances each, one block of nginx configuration for each. Nothing changes.
func BenchmarkServices(b *testing.B) { bench(b, blocks, fleet(1000)) }

// A pass over a fleet: the first, and those after a change of one service, or of the list of services. The CPU time counts: a
// machine that is busy makes wall time meaningless.
func BenchmarkFleet(b *testing.B) {
	for _, c := range []struct {
		name, file string
		services   int
	}{
		{"blocks-1000", "", 1000},
		{"blocks-10000", "", 10_000},
		{"nginx-1000", "../examples/nginx/upstreams.ctmpl", 1000},
		{"haproxy-1000", "../examples/haproxy/haproxy.ctmpl", 1000},
	} {
		text := blocks
		if c.file != "" {
			text = readFile(b, c.file)
		}
		known, list := fleet(c.services), query("services", "", "")
		execute := func(b *testing.B, tmpl *template.Template) {
			if r := tmpl.Execute(b.Context(), known.lookup); !r.Finished() {
				b.Fatalf("did not finish: pending %v, absent %v, error %v", r.Pending, r.Absent, r.Err)
			}
		}
		measure := func(name string, begin func(b *testing.B) *template.Template, change func(n int)) {
			b.Run(c.name+"/"+name, func(b *testing.B) {
				b.ReportAllocs()
				tmpl, spent := (*template.Template)(nil), time.Duration(0)
				for n := 0; b.Loop(); n++ {
					b.StopTimer()
					if tmpl == nil || change == nil {
						tmpl = begin(b)
					}
					if change != nil {
						change(n)
					}
					began := cpuTime()
					b.StartTimer()
					execute(b, tmpl)
					spent += cpuTime() - began
				}
				b.ReportMetric(spent.Seconds()*1000/float64(b.N), "cpu-ms/op")
			})
		}
		fresh := func(b *testing.B) *template.Template { return parse(b, text) }
		executed := func(b *testing.B) *template.Template {
			tmpl := parse(b, text)
			execute(b, tmpl)
			return tmpl
		}
		measure("first", fresh, nil)
		measure("service", executed, func(n int) {
			i := n * 7 % c.services
			known.put(i, n)
		})
		measure("list", executed, func(n int) { // it comes anew with all that is in it
			var again []*watch.CatalogSnippet
			for i, s := range known[list].([]*watch.CatalogSnippet) {
				again = append(again, &watch.CatalogSnippet{Name: s.Name})
				if i == n%c.services {
					again[i].Tags = watch.ServiceTags{fmt.Sprint(n)}
				}
			}
			known[list] = again
		})
	}
}

// cpuTime returns what the process has used.
func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func BenchmarkTree(b *testing.B) {
	var pairs []*watch.KeyPair
	for i := range 10_000 {
		key := fmt.Sprintf("group-%02d/key-%04d", i%100, i)
		pairs = append(pairs, &watch.KeyPair{Path: "app/" + key, Key: key, Value: fmt.Sprintf("value %d", i)})
	}
	bench(b, `{{range tree "app/"}}{{.Key}}={{.Value}}
{{end}}`, answers{query("prefix", "app/", ""): pairs})
}

func BenchmarkTenLines(b *testing.B) {
	known := catalog(1)
	known[kv("app/port")] = "8080"
	known[kv("app/name")], known[kv("app/debug")] = nil, nil
	bench(b, `# made by render
[server]
name = {{keyOrDefault "app/name" "shop" | toUpper}}
port = {{key "app/port"}}
home = {{env "HOME"}}
{{if keyExists "app/debug"}}debug = true{{else}}debug = false{{end}}
[backends]
{{range service "s0000"}}{{.ID}} = {{.Address}}:{{.Port}}
{{end}}[end]
`, known)
}

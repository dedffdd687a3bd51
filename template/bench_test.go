package template_test

import (
	"fmt"
	"testing"

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

// 1,000 services of five instances each, one block of nginx configuration for each.
func BenchmarkServices(b *testing.B) {
	known := make(answers)
	var services []*watch.CatalogSnippet
	for i := range 1000 {
		name := fmt.Sprintf("service-%04d", i)
		services = append(services, &watch.CatalogSnippet{Name: name})
		var instances []*watch.HealthService
		for j := range 5 {
			instances = append(instances, &watch.HealthService{
				ID: fmt.Sprintf("%s-%d", name, j), Name: name, Address: fmt.Sprintf("10.%d.%d.%d", i/256, i%256, j), Port: 8000 + j,
				Status: watch.StatusPassing, Weights: watch.ServiceWeights{Passing: 1, Warning: 1},
			})
		}
		known[service(name)] = instances
	}
	known[query("services", "", "")] = services
	bench(b, `{{range services}}{{$name := .Name}}
upstream {{$name}} {
{{- range service $name}}
    server {{.Address}}:{{.Port}} weight={{.Weights.Passing}};
{{- else}}
    server 127.0.0.1:9 down;
{{- end}}
}
{{end}}`, known)
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

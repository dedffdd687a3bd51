package template_test

import (
	"regexp"
	"testing"
	"time"

	"render/watch"
)

// valuesOf has an answer of each kind whose values have methods or pointers.
func valuesOf() answers {
	seen := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	days := 12
	node := watch.Node{ID: "id", Node: "n1", Address: "10.0.0.1", Datacenter: "dc1", Meta: map[string]string{"rack": "r1"}}
	check := watch.HealthCheck{CheckID: "c", Name: "port", Status: "warning", ServiceTags: []string{"b"}}
	return answers{
		service("web"): []*watch.HealthService{{
			Node: "n1", ID: "web-1", Name: "web", Address: "10.0.0.1", Port: 80, Status: "warning", Tags: watch.ServiceTags{"a", "b"},
			Checks: watch.HealthChecks{&check}, Weights: watch.ServiceWeights{Passing: 5, Warning: 1},
			ServiceTaggedAddresses: map[string]watch.ServiceAddress{"lan": {Address: "10.0.0.2", Port: 81}},
		}},
		service("bare"):                     []*watch.HealthService{{ID: "bare-1"}},
		query(watch.KindServices, "", ""):   []*watch.CatalogSnippet{{Name: "web", Tags: watch.ServiceTags{"a", "b"}}},
		query(watch.KindNodes, "", ""):      []*watch.Node{&node},
		query(watch.KindNode, "n1", ""):     &watch.CatalogNode{Node: &node, Services: []*watch.CatalogNodeService{{ID: "web-1", Service: "web", Tags: watch.ServiceTags{"a"}, Port: 80}}},
		query(watch.KindNode, "none", ""):   nil,
		query(watch.KindPrefix, "app/", ""): []*watch.KeyPair{{Path: "app/a", Key: "a", Value: "1", Flags: 7, Session: "s"}},
		query(watch.KindPeerings, "", ""):   []*watch.Peering{{Name: "p", StreamStatus: watch.PeeringStreamStatus{LastSend: &seen}}},
		query(watch.KindCARoots, "", ""):    []*watch.CARoot{{ID: "r", NotAfter: &seen, DaysRemaining: &days}},
		query(watch.KindCALeaf, "web", ""):  &watch.LeafCert{Service: "web", ValidBefore: seen},
	}
}

// Templates print whole values: the fields in the order that consul-template has them, and a pointer as Go prints it, which
// depends on the way to it: an action follows a pointer, print and printf write &, and a pointer in a list is an address.
func TestPrintedValues(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		// An action.
		{`{{range services}}{{.}}{{end}}`, `{web [a b]}`},
		{`{{range nodes}}{{.}}{{end}}`, `{id n1 10.0.0.1 dc1 map[] map[rack:r1]}`},
		{`{{(node "n1").Node}}`, `{id n1 10.0.0.1 dc1 map[] map[rack:r1]}`},
		{`{{range (node "n1").Services}}{{.}}{{end}}`, `{web-1 web [a] map[] 80  false}`},
		{`{{range tree "app/"}}{{.}}{{end}}`, `{app/a a 1 0 0 0 7 s}`},
		{`{{range service "bare"}}{{.}}{{end}}`, `{   map[] map[] map[]  map[] bare-1  [] []  0 {0 0}}`},
		{`{{range service "web"}}{{.Tags}} {{.Weights}} {{.ServiceTaggedAddresses}} {{.NodeMeta}}{{end}}`, `[a b] {5 1} map[lan:{10.0.0.2 81}] map[]`},
		{`{{range peerings}}{{.StreamStatus.LastSend}}{{end}}`, `2030-01-02 03:04:05 +0000 UTC`},
		{`{{range caRoots}}{{.NotAfter}} {{.DaysRemaining}}{{end}}`, `2030-01-02 03:04:05 +0000 UTC 12`},

		// A pointer to nothing.
		{`{{range peerings}}{{.StreamStatus.LastReceive}}{{end}}`, `<nil>`},
		{`{{(node "none").Node}} {{len (node "none").Services}}`, `<nil> 0`},
		{`{{print (node "none").Node}} {{printf "%v" (node "none").Node}}`, `<nil> <nil>`},

		// print and printf.
		{`{{range services}}{{print .}} {{printf "%v" .}} {{printf "%+v" .}} {{printf "%s" .}} {{printf "%q" .}}{{end}}`,
			`&{web [a b]} &{web [a b]} &{Name:web Tags:[a b]} &{web [a b]} &{"web" ["a" "b"]}`},
		{`{{range services}}{{. | html}} {{. | toString}}{{end}}`, `{web [a b]} &{web [a b]}`},
		{`{{range tree "app/"}}{{printf "%+v" .}}{{end}}`, `&{Path:app/a Key:a Value:1 CreateIndex:0 ModifyIndex:0 LockIndex:0 Flags:7 Session:s}`},
		{`{{range service "bare"}}{{printf "%+v" .}}{{end}}`, `&{Node: NodeID: NodeAddress: NodeTaggedAddresses:map[] NodeMeta:map[] ` +
			`ServiceMeta:map[] Address: ServiceTaggedAddresses:map[] ID:bare-1 Name: Tags:[] Checks:[] Status: Port:0 Weights:{Passing:0 Warning:0}}`},

		// A pointer in a list or a map: an address. Where the verb does not fit, Go names the type, which has another name in
		// consul-template.
		{`{{services}}`, `[0xADDRESS]`},
		{`{{print services}} {{printf "%v" (services | byTag)}}`, `[0xADDRESS] map[a:[0xADDRESS] b:[0xADDRESS]]`},
		{`{{(node "n1").Services}} {{range service "web"}}{{.Checks}}{{end}}`, `[0xADDRESS] [0xADDRESS]`},
		{`{{printf "%q" (services | byTag)}}`, `map["a":[%!q(*watch.CatalogSnippet=&{web [a b]})] "b":[%!q(*watch.CatalogSnippet=&{web [a b]})]]`},
		{`{{range services}}{{printf "%T" .}}{{end}}`, `*watch.CatalogSnippet`},
	} {
		got := regexp.MustCompile(`0x[0-9a-f]{6,}`).ReplaceAllString(output(t, c.text, valuesOf()), "0xADDRESS")
		if got != c.want {
			t.Errorf("%s\n got %s\nwant %s", c.text, got, c.want)
		}
	}
}

// What templates call on values: the methods that consul-template's values have, or had, and those of times and durations.
func TestMethodsOfValues(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{`{{range service "web"}}{{.Checks.AggregatedStatus}} {{.Status}}{{end}}`, `warning warning`},
		{`{{range service "web"}}{{if eq .Checks.AggregatedStatus "passing" "warning"}}up{{end}}{{end}}`, `up`},
		{`{{range service "web"}}{{with .Checks}}{{.AggregatedStatus}}{{end}}{{end}}`, `warning`},
		{`{{range service "bare"}}{{.Checks.AggregatedStatus}}{{end}}`, `passing`},
		{`{{range service "web"}}{{.Tags.Contains "a"}} {{if .Tags.Contains "x"}}x{{else}}none{{end}}{{end}}`, `true none`},
		{`{{range service "bare"}}{{.Tags.Contains "a"}}{{end}}`, `false`},
		{`{{range services}}{{.Tags.Contains "b"}} {{.Tags | contains "b"}} {{in .Tags "b"}}{{end}}`, `true true true`},
		{`{{range (node "n1").Services}}{{.Tags.Contains "a"}}{{end}}`, `true`},
		{`{{range service "web"}}{{range .Checks}}{{.Status}} {{.Definition.Interval}} {{.Definition.IntervalDuration}} {{.ServiceTags}}{{end}}{{end}}`, `warning 0s 0s [b]`},
		{`{{range service "web"}}{{(index .Checks 0).Definition.Timeout.String}} {{(index .Checks 0).Definition.TimeoutDuration.Seconds}}{{end}}`, `0s 0`},
		{`{{range peerings}}{{.StreamStatus.LastSend.Unix}} {{.StreamStatus.LastSend.Format "2006"}} {{.StreamStatus.LastSend.IsZero}}{{end}}`, `1893553445 2030 false`},
		{`{{range peerings}}{{with .StreamStatus.LastReceive}}{{.Unix}}{{else}}never{{end}}{{end}}`, `never`},
		{`{{with caLeaf "web"}}{{.ValidBefore.Year}} {{.ValidBefore.UTC.Format "15:04"}} {{.ValidBefore.IsZero}}{{end}}`, `2030 03:04 false`},
		{`{{range caRoots}}{{.NotAfter.Format "2006-01-02"}} {{.NotAfter.Unix}}{{end}}`, `2030-01-02 1893553445`},
		{`{{with node "n1"}}{{.Node.Node}} {{.Node.Address}} {{.Node.Meta.rack}} {{(index .Services 0).Port}}{{end}}`, `n1 10.0.0.1 r1 80`},
		{`{{range service "web"}}{{.Weights.Passing}} {{.ServiceTaggedAddresses.lan.Port}} {{.ServiceTaggedAddresses.wan.Port}}{{end}}`, `5 81 0`},
		{`{{range tree "app/"}}{{.Key}}={{.Value}} {{.Flags}} {{.Session}}{{end}}`, `a=1 7 s`},
	} {
		if got := output(t, c.text, valuesOf()); got != c.want {
			t.Errorf("%s\n got %s\nwant %s", c.text, got, c.want)
		}
	}
}

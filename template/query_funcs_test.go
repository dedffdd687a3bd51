package template_test

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"render/template"
	"render/watch"
)

// TestArguments has every form of argument and the query that it asks, or the error.
func TestArguments(t *testing.T) {
	none := watch.Query{}
	for _, c := range []struct {
		call  string
		query watch.Query // none where nothing is asked
		err   string      // after "t:1:3: "
	}{
		// [TAG.]NAME[?QUERY][@DC][~NEAR][|FILTERS]
		{call: `service "web"`, query: query("service", "web", "")},
		{call: `service "0-W_b-"`, query: query("service", "0-W_b-", "")},
		{call: `service "v1.web"`, query: query("service", "web", "tag=v1")},
		{call: `service "my.svc"`, query: query("service", "svc", "tag=my")},
		{call: `service "a.b..c.web"`, query: query("service", "web", "tag=a.b..c")},
		{call: `service "env=prod:x-1.web"`, query: query("service", "web", "tag=env%3Dprod%3Ax-1")},
		{call: `service "web?ns=a"`, query: query("service", "web", "ns=a")},
		{call: `service "web?partition=b&ns=a&peer=c"`, query: query("service", "web", "ns=a&partition=b&peer=c")},
		{call: `service "web?sameness-group=g"`, query: query("service", "web", "sameness-group=g")},
		{call: `service "web?ns="`, query: query("service", "web", "")},
		{call: `service "web?ns=a&ns=b"`, query: query("service", "web", "ns=a")},
		{call: `service "web@dc2"`, query: query("service", "web", "dc=dc2")},
		{call: `service "web@dc-2.example_x"`, query: query("service", "web", "dc=dc-2.example_x")},
		{call: `service "web~_agent"`, query: query("service", "web", "near=_agent")},
		{call: `service "web~node-1.example"`, query: query("service", "web", "near=node-1.example")},
		{call: `service "web|any"`, query: query("service", "web", "status=any")},
		{call: `service "web|warning,passing"`, query: query("service", "web", "status=passing&status=warning")},
		{call: `service "web|passing,warning"`, query: query("service", "web", "status=passing&status=warning")},
		{call: `service "web|maintenance"`, query: query("service", "web", "status=maintenance")},
		{call: `service "web|critical,any,,critical,"`, query: query("service", "web", "status=any&status=critical")},
		{call: `service "web|passing"`, query: query("service", "web", "")},
		{call: `service "web|passing,passing"`, query: query("service", "web", "")},
		{call: `service "web" "passing"`, query: query("service", "web", "")},
		{call: `service "web" "any"`, query: query("service", "web", "status=any")},
		{call: `"critical" | service "web"`, query: query("service", "web", "status=critical")},
		{call: `service "v1.web?ns=n@dc2~n1|warning,critical"`, query: query("service", "web", "dc=dc2&near=n1&ns=n&status=critical&status=warning&tag=v1")},
		{call: `service`},
		{call: `service ""`},
		{call: `service "" "any"`},
		{call: `service "web" ""`, err: `service: invalid format: "web|"`},
		{call: `service "web|"`, err: `service: invalid format: "web|"`},
		{call: `service "web|,"`, err: `service: no filter in "web|,"; hint: the filters are any, passing, warning, critical, maintenance`},
		{call: `service "web|bogus"`, err: `service: invalid filter: "bogus" in "web|bogus"`},
		{call: `service "web|pasing"`, err: `service: invalid filter: "pasing" in "web|pasing"; hint: did you mean passing?`},
		{call: `service "web|passing, any"`, err: `service: invalid format: "web|passing, any"`},
		{call: `service "web "`, err: `service: invalid format: "web "`},
		{call: `service "wéb"`, err: `service: invalid format: "wéb"`},
		{call: `service "web."`, err: `service: invalid format: "web."`},
		{call: `service ".web"`, err: `service: invalid format: ".web"`},
		{call: `service "@dc2"`, err: `service: invalid format: "@dc2"`},
		{call: `service "web@"`, err: `service: invalid format: "web@"`},
		{call: `service "web@dc2?ns=x"`, err: `service: invalid format: "web@dc2?ns=x"`},
		{call: `service "web~n1@dc2"`, err: `service: invalid format: "web~n1@dc2"`},
		{call: `service "web?ns=a.b"`, err: `service: invalid format: "web?ns=a.b"`},
		{call: `service "web\n"`, err: `service: invalid format: an argument of 4 bytes that is not in the template's text`},
		{call: `service "web?foo=bar"`, err: `service: invalid query parameter key "foo" in query "foo=bar"; hint: the supported keys are ns, peer, partition, sameness-group`},
		{call: `service "web?=x"`, err: `service: invalid query parameter key "" in query "=x"; hint: the supported keys are ns, peer, partition, sameness-group`},
		{call: `service "web?peer=a&sameness-group=b"`, err: `service: cannot specify both peer and sameness-group`},

		// [?QUERY][@DC], in one argument or in pieces
		{call: `services`, query: query("services", "", "")},
		{call: `services ""`, query: query("services", "", "")},
		{call: `services "@dc2"`, query: query("services", "", "dc=dc2")},
		{call: `services "?ns=a&partition=b@dc2"`, query: query("services", "", "dc=dc2&ns=a&partition=b")},
		{call: `services "?ns=a" "@dc2"`, query: query("services", "", "dc=dc2&ns=a")},
		{call: `services "?peer=a&sameness-group=b"`, query: query("services", "", "")},
		{call: `services "web"`, err: `services: invalid format: "web"`},
		{call: `services "@dc2?ns=a"`, err: `services: invalid format: "@dc2?ns=a"`},
		{call: `services "@dc2~n1"`, err: `services: invalid format: "@dc2~n1"`},
		{call: `services "?x=y"`, err: `services: invalid query parameter key "x" in query "x=y"; hint: the supported keys are ns, peer, partition, sameness-group`},

		// [?QUERY][@DC][~NEAR]
		{call: `nodes`, query: query("nodes", "", "")},
		{call: `nodes "@dc2"`, query: query("nodes", "", "dc=dc2")},
		{call: `nodes "~_agent"`, query: query("nodes", "", "near=_agent")},
		{call: `nodes "?partition=p" "@dc2" "~n.1"`, query: query("nodes", "", "dc=dc2&near=n.1&partition=p")},
		{call: `nodes "~n1@dc2"`, err: `nodes: invalid format: "~n1@dc2"`},
		{call: `nodes "n1"`, err: `nodes: invalid format: "n1"`},

		// nothing, or NAME[?QUERY][@DC]
		{call: `node`, query: query("node", "", "")},
		{call: `node ""`, query: query("node", "", "")},
		{call: `node "n.1-x"`, query: query("node", "n.1-x", "")},
		{call: `node "n1" "@dc1"`, query: query("node", "n1", "dc=dc1")},
		{call: `node "n1?ns=a&partition=p&peer=x@dc1"`, query: query("node", "n1", "dc=dc1&ns=a&partition=p")},
		{call: `node "@dc1"`, err: `node: invalid format: "@dc1"`},
		{call: `node "?ns=a"`, err: `node: invalid format: "?ns=a"`},
		{call: `node "n 1"`, err: `node: invalid format: "n 1"`},
		{call: `node "n1~n2"`, err: `node: invalid format: "n1~n2"`},

		{call: `datacenters`, query: query("datacenters", "", "")},
		{call: `datacenters false`, query: query("datacenters", "", "")},
		{call: `datacenters true`, query: query("datacenters", "", "reachable=true")},
		{call: `datacenters true false`, err: `datacenters: accepts at most one argument, not 2`},

		// [/]KEY[?QUERY][@DC]
		{call: `key "app/port"`, query: query("kv", "app/port", "")},
		{call: `key "/app/port"`, query: query("kv", "app/port", "")},
		{call: `key "//app/a"`, query: query("kv", "app/a", "")},
		{call: `key "app/"`, query: query("kv", "app/", "")},
		{call: `key "a b|c~d.ключ"`, query: query("kv", "a b|c~d.ключ", "")},
		{call: `key "app/port@dc2"`, query: query("kv", "app/port", "dc=dc2")},
		{call: `key "app/port?ns=a@dc2"`, query: query("kv", "app/port", "dc=dc2&ns=a")},
		{call: `key "app?peer=a&sameness-group=b&partition=p"`, query: query("kv", "app", "partition=p")},
		{call: `key ""`},
		{call: `key "@dc2"`, err: `key: invalid format: "@dc2"`},
		{call: `key "a@"`, err: `key: invalid format: "a@"`},
		{call: `key "a?"`, err: `key: invalid format: "a?"`},
		{call: `key "a@b@c"`, err: `key: invalid format: "a@b@c"`},
		{call: `key "a@dc2?ns=x"`, err: `key: invalid format: "a@dc2?ns=x"`},
		{call: `key "a?x=1"`, err: `key: invalid query parameter key "x" in query "x=1"; hint: the supported keys are ns, peer, partition, sameness-group`},
		{call: `key "/"`, err: `key: invalid format: "/"`},
		{call: `key "//@dc2"`, err: `key: invalid format: "//@dc2"`},
		{call: `keyExists "/app/port@dc2"`, query: query("kv", "app/port", "dc=dc2")},
		{call: `keyExists ""`},
		{call: `keyExists "a?"`, err: `keyExists: invalid format: "a?"`},
		{call: `keyOrDefault "/app/port@dc2" ""`, query: query("kv", "app/port", "dc=dc2")},
		{call: `keyOrDefault "" "d"`},
		{call: `keyOrDefault "a?" "d"`, err: `keyOrDefault: invalid format: "a?"`},

		// [/]PREFIX[?QUERY][@DC]
		{call: `ls "app"`, query: query("prefix", "app", "")},
		{call: `ls "app/"`, query: query("prefix", "app/", "")},
		{call: `ls "//app/?ns=a@dc2"`, query: query("prefix", "app/", "dc=dc2&ns=a")},
		{call: `ls "/"`, query: query("prefix", "", "")},
		{call: `ls "//"`, query: query("prefix", "", "")},
		{call: `ls "/@dc2"`, query: query("prefix", "", "dc=dc2")},
		{call: `ls ""`},
		{call: `ls "@dc2"`, err: `ls: invalid format: "@dc2"`},
		{call: `tree "/app@dc2"`, query: query("prefix", "app", "dc=dc2")},
		{call: `tree "/"`, query: query("prefix", "", "")},
		{call: `tree ""`},
		{call: `tree "a?"`, err: `tree: invalid format: "a?"`},

		{call: `safeLs "//app/?ns=a@dc2"`, query: query("prefix", "app/", "dc=dc2&ns=a")},
		{call: `safeLs ""`},
		{call: `safeLs "a?"`, err: `safeLs: invalid format: "a?"`},
		{call: `safeTree "/"`, query: query("prefix", "", "")},
		{call: `safeTree ""`},
		{call: `safeTree "a?"`, err: `safeTree: invalid format: "a?"`},
		{call: `key_or_default "/app/port@dc2" "d"`, query: query("kv", "app/port", "dc=dc2")},
		{call: `key_or_default "" "d"`},

		// the same as service, but for a tag
		{call: `connect "web"`, query: query("connect", "web", "")},
		{call: `connect "v1.web?ns=n@dc2~n1|warning,critical"`, query: query("connect", "web", "dc=dc2&near=n1&ns=n&status=critical&status=warning")},
		{call: `connect "web" "any"`, query: query("connect", "web", "status=any")},
		{call: `connect "web?peer=c"`, query: query("connect", "web", "peer=c")},
		{call: `connect`},
		{call: `connect ""`},
		{call: `connect "web|"`, err: `connect: invalid format: "web|"`},
		{call: `connect "web|bogus"`, err: `connect: invalid filter: "bogus" in "web|bogus"`},

		{call: `partitions`, query: query("partitions", "", "")},
		{call: `peerings`, query: query("peerings", "", "")},
		{call: `peerings ""`, query: query("peerings", "", "")},
		{call: `peerings "?partition=p"`, query: query("peerings", "", "partition=p")},
		{call: `peerings "?ns=n&peer=x&partition=p"`, query: query("peerings", "", "partition=p")},
		{call: `peerings "?part" "ition=p"`, query: query("peerings", "", "partition=p")},
		{call: `peerings (partition "p")`, query: query("peerings", "", "partition=p")},
		{call: `peerings "p"`, err: `peerings: invalid format: "p"`},
		{call: `peerings "@dc2"`, err: `peerings: invalid format: "@dc2"`},
		{call: `peerings "?x=y"`, err: `peerings: invalid query parameter key "x" in query "x=y"; hint: the supported keys are ns, peer, partition, sameness-group`},
		{call: `exportedServices`, query: query("exported-services", "", "")},
		{call: `exportedServices ""`, query: query("exported-services", "", "")},
		{call: `exportedServices "p"`, query: query("exported-services", "", "partition=p")},
		{call: `exportedServices "p" "q"`, err: `exportedServices: accepts at most one partition, not 2`},
		{call: `importedServices "p"`, query: query("imported-services", "", "partition=p")},
		{call: `importedServices`, err: `importedServices: needs the name of one partition`},
		{call: `importedServices ""`, err: `importedServices: needs the name of one partition`},
		{call: `importedServices "p" "q"`, err: `importedServices: needs the name of one partition`},
		{call: `caRoots`, query: query("ca-roots", "", "")},
		{call: `caRoots "x" 1`, query: query("ca-roots", "", "")},
		{call: `caLeaf "a b@c"`, query: query("ca-leaf", "a b@c", "")},
		{call: `caLeaf "web" "x"`, query: query("ca-leaf", "web", "")},
		{call: `caLeaf`},
		{call: `caLeaf ""`},

		// named arguments
		{call: `service (name "my.svc")`, query: query("service", "my.svc", "")},
		{call: `service "my.svc" (dc "dc2") (tag "v2") (tag "green") (status "passing" "warning") (meta "zone" "a") (near "_agent") (ns "team") (partition "p") (peer "q")`,
			query: query("service", "my.svc", "dc=dc2&meta=zone%3Da&near=_agent&ns=team&partition=p&peer=q&status=passing&status=warning&tag=green&tag=v2")},
		{call: `service (status "warning" "passing" "warning") (tag "b") (tag "a") (tag "b") (name "web")`, query: query("service", "web", "status=passing&status=warning&tag=a&tag=b")},
		{call: `service "web" (meta "b" "x=y &") (meta "a" "")`, query: query("service", "web", "meta=a%3D&meta=b%3Dx%3Dy+%26")},
		{call: `service "web" (filter "Service.Meta.x == \"y\"")`, query: query("service", "web", "filter=Service.Meta.x+%3D%3D+%22y%22")},
		{call: `service "web" (acceptFiltered)`, query: query("service", "web", "accept-filtered=true")},
		{call: `service "web" (samenessGroup "g.1")`, query: query("service", "web", "sameness-group=g.1")},
		{call: `service "web" (status "passing")`, query: query("service", "web", "")},
		{call: `service "web" (status "any")`, query: query("service", "web", "status=any")},
		{call: `service "web" (dc "") (tag "")`, query: query("service", "web", "")},
		{call: `service "a b@c~d|e?f" (dc "d c")`, query: query("service", "a b@c~d|e?f", "dc=d+c")},
		{call: `"my.svc" | service (dc "dc2")`, query: query("service", "my.svc", "dc=dc2")},
		{call: `"dc2" | dc | service "my.svc"`, query: query("service", "my.svc", "dc=dc2")},
		{call: `service "" (dc "dc2")`},
		{call: `service (name "")`},
		{call: `connect "my.svc" (dc "dc2") (tag "v2") (meta "zone" "a") (status "any")`, query: query("connect", "my.svc", "dc=dc2&meta=zone%3Da&status=any&tag=v2")},
		{call: `services (dc "dc2") (ns "n") (partition "p") (filter "f")`, query: query("services", "", "dc=dc2&filter=f&ns=n&partition=p")},
		{call: `nodes (dc "dc2") (near "a b") (filter "f")`, query: query("nodes", "", "dc=dc2&filter=f&near=a+b")},
		{call: `node (dc "dc2")`, query: query("node", "", "dc=dc2")},
		{call: `node (name "a b@c") (filter "f")`, query: query("node", "a b@c", "filter=f")},
		{call: `node "" (ns "n")`, query: query("node", "", "ns=n")},
		{call: `key "/a@b?c" (dc "dc2")`, query: query("kv", "/a@b?c", "dc=dc2")},
		{call: `key (name "a@b?c")`, query: query("kv", "a@b?c", "")},
		{call: `key (name "")`},
		{call: `keyExists "a@b" (ns "n") (partition "p")`, query: query("kv", "a@b", "ns=n&partition=p")},
		{call: `keyOrDefault "a@b" (dc "dc2") "d"`, query: query("kv", "a@b", "dc=dc2")},
		{call: `keyOrDefault (dc "dc2") "a@b" "d"`, query: query("kv", "a@b", "dc=dc2")},
		{call: `"d" | keyOrDefault (name "a@b")`, query: query("kv", "a@b", "")},
		{call: `ls (name "a?") (dc "dc2")`, query: query("prefix", "a?", "dc=dc2")},
		{call: `tree (name "a?")`, query: query("prefix", "a?", "")},
		{call: `safeLs "a?" (ns "n")`, query: query("prefix", "a?", "ns=n")},
		{call: `safeTree (name "/")`, query: query("prefix", "/", "")},

		{call: `service (dc "dc2")`, err: `service: needs a name beside named arguments`},
		{call: `service "web" "any" (dc "dc2")`, err: `service: accepts one name beside named arguments, not 2`},
		{call: `service "web" (name "api")`, err: `service: accepts one name beside named arguments, not 2`},
		{call: `service (name "web") (name "api")`, err: `service: the named argument name is used twice`},
		{call: `service "web" (dc "a") (dc "a")`, err: `service: the named argument dc is used twice`},
		{call: `service "web" (status "any") (status "any")`, err: `service: the named argument status is used twice`},
		{call: `service "web" (peer "a") (samenessGroup "b")`, err: `service: cannot specify both peer and sameness-group`},
		{call: `services "@dc2" (ns "n")`, err: `services: accepts no text beside named arguments`},
		{call: `services (name "web")`, err: `services: does not accept the named argument name; hint: the named arguments are dc, filter, ns, partition, acceptFiltered`},
		{call: `nodes (tag "a")`, err: `nodes: does not accept the named argument tag; hint: the named arguments are dc, filter, near, ns, partition, acceptFiltered`},
		{call: `node "a" (near "b")`, err: `node: does not accept the named argument near; hint: the named arguments are name, dc, filter, ns, partition, acceptFiltered`},
		{call: `node "a" "@dc1" (ns "n")`, err: `node: accepts one name beside named arguments, not 2`},
		{call: `peerings (dc "a")`, err: `peerings: does not accept the named argument dc; hint: the named arguments are partition, acceptFiltered`},
		{call: `key "a" (tag "b")`, err: `key: does not accept the named argument tag; hint: the named arguments are name, dc, ns, partition, acceptFiltered`},
		{call: `key (dc "b")`, err: `key: needs a name beside named arguments`},
		{call: `key`, err: `key: needs one text, not 0`},
		{call: `key "a" "b"`, err: `key: needs one text, not 2`},
		{call: `key 1`, err: `key: accepts texts and named arguments, not a value of the type int`},
		{call: `key (parseJSON "{}").a`, err: `key: an argument has no value`},
		{call: `tree "a" (filter "b")`, err: `tree: does not accept the named argument filter; hint: the named arguments are name, dc, ns, partition, acceptFiltered`},
		{call: `keyOrDefault "a"`, err: `keyOrDefault: needs a key and a default`},
		{call: `keyOrDefault "d" (name "a")`, err: `keyOrDefault: the last argument, the default, is not a text`},
		{call: `keyOrDefault (dc "b") "d"`, err: `keyOrDefault: needs a name beside named arguments`},

		{call: `file "/etc/x"`, query: query("file", "/etc/x", "")},
		{call: `file " a b@c?d \n"`, query: query("file", "a b@c?d", "")},
		{call: `file ""`},
		{call: `file " \t"`},
	} {
		t.Run(c.call, func(t *testing.T) {
			tmpl := parse(t, "{{"+c.call+"}}")
			r := tmpl.Execute(t.Context(), answers{}.lookup)
			if c.err != "" {
				if r.Err == nil || shown(r.Err) != "t:1:3: "+c.err || len(r.Used) != 0 {
					t.Errorf("\n got %v, used %v\nwant %s", r.Err, r.Used, "t:1:3: "+c.err)
				}
				return
			}
			var want []watch.Query
			if c.query != none {
				want = []watch.Query{c.query}
			}
			if r.Err != nil || !slices.Equal(r.Used, want) || !slices.Equal(r.Pending, want) {
				t.Fatalf("used %v, pending %v, want %v; error %v", r.Used, r.Pending, want, r.Err)
			}
		})
	}
}

// While a query is pending its function gives a zero value, which here becomes the name of another query.
func TestZeroValues(t *testing.T) {
	for _, c := range []struct{ call, want string }{
		{`service "web"`, `[]`},
		{`services`, `[]`},
		{`connect "web"`, `[]`},
		{`partitions`, `[]`},
		{`peerings`, `[]`},
		{`exportedServices`, `[]`},
		{`importedServices "p"`, `[]`},
		{`caRoots`, `[]`},
		{`caLeaf "web"`, `<nil>`},
		{`safeLs "a"`, `[]`},
		{`safeTree "a"`, `[]`},
		{`key_or_default "a" "d"`, `d`},
		{`nodes`, `[]`},
		{`datacenters`, `[]`},
		{`ls "a"`, `[]`},
		{`tree "a"`, `[]`},
		{`node`, `<nil>`},
		{`key "a"`, ``},
		{`keyOrDefault "a" "d"`, `d`},
		{`keyExists "a"`, `false`},
		{`file "a"`, ``},
	} {
		t.Run(c.call, func(t *testing.T) {
			r := parse(t, `{{printf "is %v" (`+c.call+`) | file}}`).Execute(t.Context(), answers{}.lookup)
			if len(r.Pending) != 2 || r.Pending[1].Name != strings.TrimSpace("is "+c.want) {
				t.Errorf("got %v, want %q", r.Pending, "is "+c.want)
			}
		})
	}
}

// everything is one answer of each kind, with every field set.
var everything = answers{
	service("web"): []*watch.HealthService{{
		Node: "n1", NodeID: "id-1", NodeAddress: "10.0.0.1", NodeTaggedAddresses: map[string]string{"lan": "10.0.0.1"},
		NodeMeta: map[string]string{"rack": "r1"}, ServiceMeta: map[string]string{"env": "prod"}, Address: "10.1.0.1",
		ServiceTaggedAddresses: map[string]watch.ServiceAddress{"wan": {Address: "198.51.100.1", Port: 80}},
		ID:                     "web-1", Name: "web", Tags: watch.ServiceTags{"a", "b"},
		Checks: []*watch.HealthCheck{{
			Node: "n1", CheckID: "c1", Name: "check", Status: "passing", Notes: "note", Output: "ok", ServiceID: "web-1",
			ServiceName: "web", ServiceTags: []string{"a"}, Type: "http",
			Definition: watch.HealthCheckDefinition{HTTP: "http://x", Interval: watch.Duration(10 * time.Second)},
		}},
		Status: "passing", Port: 8080, Weights: watch.ServiceWeights{Passing: 2, Warning: 1},
	}},
	query("services", "", ""): []*watch.CatalogSnippet{{Name: "consul", Tags: watch.ServiceTags{}}, {Name: "web", Tags: watch.ServiceTags{"a", "b"}}},
	query("nodes", "", ""): []*watch.Node{{
		ID: "id-1", Node: "n1", Address: "10.0.0.1", Datacenter: "dc1",
		TaggedAddresses: map[string]string{"lan": "10.0.0.1"}, Meta: map[string]string{"rack": "r1"},
	}, {Node: "n2"}},
	query("node", "n1", ""): &watch.CatalogNode{
		Node: &watch.Node{ID: "id-1", Node: "n1", Address: "10.0.0.1", Datacenter: "dc1", Meta: map[string]string{"rack": "r1"}},
		Services: []*watch.CatalogNodeService{{
			ID: "web-1", Service: "web", Tags: watch.ServiceTags{"a"}, Meta: map[string]string{"env": "prod"}, Port: 8080, Address: "10.1.0.1",
			EnableTagOverride: true,
		}},
	},
	query("datacenters", "", ""):               []string{"dc1", "dc2"},
	query("datacenters", "", "reachable=true"): []string{"dc1"},
	kv("app/port"):                             "8080",
	kv("app/empty"):                            "",
	kv("app/none"):                             nil,
	kv("app/"):                                 "folder",
	query("prefix", "app", ""): []*watch.KeyPair{
		{Path: "app", Key: ""},
		{Path: "app/", Key: ""},
		{Path: "app/a", Key: "a", Value: "A", CreateIndex: 1, ModifyIndex: 2, LockIndex: 3, Flags: 4, Session: "s"},
		{Path: "app/b/", Key: "b/"},
		{Path: "app/b/c", Key: "b/c", Value: "C"},
		{Path: "app/b/d/", Key: "b/d/"},
		{Path: "apple", Key: "le", Value: "fruit"},
	},
	query("prefix", "folders", ""): []*watch.KeyPair{{Path: "folders/", Key: ""}, {Path: "folders/a/", Key: "a/"}},
	query("file", "/etc/x", ""):    "text\n",
	query("connect", "web", ""):    []*watch.HealthService{{ID: "web-1-proxy", Name: "web-sidecar-proxy", Port: 20000}},
	query("partitions", "", ""):    []*watch.Partition{{Name: "default", Description: "the first"}},
	query("peerings", "", ""): []*watch.Peering{{
		ID: "id", Name: "other", Partition: "p", Meta: map[string]string{"env": "prod"}, PeeringState: "ACTIVE", PeerID: "peer", PeerServerName: "server",
		PeerServerAddresses: []string{"10.0.0.1:8503"}, Remote: watch.PeeringRemote{Partition: "rp", Datacenter: "rd"},
		StreamStatus: watch.PeeringStreamStatus{ImportedServices: []string{"i"}, ExportedServices: []string{"e"}, LastSend: &second},
	}},
	query("exported-services", "", ""):            []watch.ExportedService{{Service: "web", Consumers: watch.ServiceConsumers{Peers: []string{"other"}, Partitions: []string{}}}},
	query("imported-services", "", "partition=p"): []watch.ImportedService{{Service: "web", Namespace: "n", SourcePartition: "q"}},
	query("ca-roots", "", ""):                     []*watch.CARoot{{ID: "r", Name: "root", RootCertPEM: "pem", Active: true, NotAfter: &second}},
	query("ca-leaf", "web", ""):                   &watch.LeafCert{SerialNumber: "09", CertPEM: "cert", PrivateKeyPEM: "key", Service: "web", ServiceURI: "spiffe://x", ValidBefore: second},
}

var second = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func TestValues(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{`{{range service "web"}}{{.Node}} {{.NodeID}} {{.NodeAddress}} {{.NodeTaggedAddresses.lan}} {{.NodeMeta.rack}} {{.ServiceMeta.env}} ` +
			`{{.Address}} {{.ServiceTaggedAddresses.wan.Address}} {{.ServiceTaggedAddresses.wan.Port}} {{.ID}} {{.Name}} {{.Tags}} {{.Status}} ` +
			`{{.Port}} {{.Weights.Passing}} {{.Weights.Warning}}{{end}}`,
			`n1 id-1 10.0.0.1 10.0.0.1 r1 prod 10.1.0.1 198.51.100.1 80 web-1 web [a b] passing 8080 2 1`},
		{`{{range service "web"}}{{range .Checks}}{{.Node}} {{.CheckID}} {{.Name}} {{.Status}} {{.Notes}} {{.Output}} {{.ServiceID}} ` +
			`{{.ServiceName}} {{.ServiceTags}} {{.Type}} {{.Definition.HTTP}} {{.Definition.Interval}}{{end}}{{end}}`,
			`n1 c1 check passing note ok web-1 web [a] http http://x 10s`},
		{`{{range service "web"}}{{.Tags.Contains "b"}} {{in .Tags "b"}} {{.Tags | contains "c"}} {{join "," .Tags}}{{end}}`, `true true false a,b`},
		{`{{with index (service "web") 0}}{{.Weights | toJSON}}{{.ServiceTaggedAddresses | toJSON}}{{end}}`,
			`{"Passing":2,"Warning":1}{"wan":{"Address":"198.51.100.1","Port":80}}`},
		{`{{range services}}{{.Name}}{{.Tags}} {{end}}`, `consul[] web[a b] `},
		{`{{services | toJSON}}`, `[{"Name":"consul","Tags":[]},{"Name":"web","Tags":["a","b"]}]`},
		{`{{nodes | toJSON}}`, `[{"ID":"id-1","Node":"n1","Address":"10.0.0.1","Datacenter":"dc1","TaggedAddresses":{"lan":"10.0.0.1"},"Meta":{"rack":"r1"}},` +
			`{"ID":"","Node":"n2","Address":"","Datacenter":"","TaggedAddresses":null,"Meta":null}]`},
		{`{{with node "n1"}}{{.Node.Node}} {{.Node.Meta.rack}}{{range .Services}} {{.ID}} {{.Service}} {{.Tags}} {{.Meta.env}} {{.Port}} {{.Address}} {{.EnableTagOverride}}{{end}}{{end}}`,
			`n1 r1 web-1 web [a] prod 8080 10.1.0.1 true`},
		{`{{datacenters}}{{datacenters true}}{{datacenters false}}`, `[dc1 dc2][dc1][dc1 dc2]`},
		{`{{key "app/port"}}:{{key "/app/port"}}:{{key "app/empty"}}:{{key "app/"}}:{{key ""}}`, `8080:8080::folder:`},
		{`{{keyOrDefault "app/port" "1"}} {{keyOrDefault "app/empty" "2"}} {{keyOrDefault "app/none" "3"}} {{keyOrDefault "" "4"}}`, `8080 2 3 4`},
		{`{{keyExists "app/port"}} {{keyExists "app/empty"}} {{keyExists "app/none"}} {{keyExists "app/"}} {{keyExists ""}}`, `true true false true false`},
		{`{{range ls "app"}}{{.Path}} {{.Key}} {{.Value}} {{.CreateIndex}} {{.ModifyIndex}} {{.LockIndex}} {{.Flags}} {{.Session}};{{end}}`,
			`app/a a A 1 2 3 4 s;apple le fruit 0 0 0 0 ;`},
		{`{{range tree "app"}}{{.Path}}={{.Value}};{{end}}`, `app/a=A;app/b/c=C;apple=fruit;`},
		{`{{ls "" | toJSON}}{{tree "" | toJSON}}{{service "" | toJSON}}`, `[][][]`},
		{`{{file "/etc/x"}}`, "text\n"},
		{`{{range safeLs "app"}}{{.Key}} {{end}}{{range safeTree "app"}}{{.Key}} {{end}}{{safeLs ""}}{{safeTree ""}}`, `a le a b/c le [][]`},
		{`{{key_or_default "app/port" "1"}} {{key_or_default "app/none" "3"}}`, `8080 3`},
		{`{{range connect "web"}}{{.ID}} {{.Name}} {{.Port}}{{end}}`, `web-1-proxy web-sidecar-proxy 20000`},
		{`{{partitions | toJSON}}`, `[{"Name":"default","Description":"the first"}]`},
		{`{{peerings | toJSON}}`, `[{"ID":"id","Name":"other","Partition":"p","Meta":{"env":"prod"},"PeeringState":"ACTIVE","PeerID":"peer","PeerServerName":"server",` +
			`"PeerServerAddresses":["10.0.0.1:8503"],"StreamStatus":{"ImportedServices":["i"],"ExportedServices":["e"],"LastHeartbeat":null,"LastReceive":null,` +
			`"LastSend":"2026-01-02T03:04:05Z"},"Remote":{"Partition":"rp","Datacenter":"rd"}}]`},
		{`{{exportedServices | toJSON}}`, `[{"Service":"web","Partition":"","Namespace":"","Consumers":{"Peers":["other"],"Partitions":[]}}]`},
		{`{{importedServices "p" | toJSON}}`, `[{"Service":"web","Namespace":"n","SourcePartition":"q"}]`},
		{`{{range caRoots}}{{.ID}} {{.Name}} {{.RootCertPEM}} {{.Active}} {{.NotAfter.Year}} {{.NotBefore}} {{.DaysRemaining}}{{end}}`, `r root pem true 2026 <nil> <nil>`},
		{`{{caRoots | toJSON}}`, `[{"ID":"r","Name":"root","RootCert":"pem","Active":true,"NotAfter":"2026-01-02T03:04:05Z","CreateIndex":0,"ModifyIndex":0}]`},
		{`{{with caLeaf "web"}}{{.SerialNumber}} {{.CertPEM}} {{.PrivateKeyPEM}} {{.Service}} {{.ServiceURI}} {{.ValidBefore.Year}}{{end}}{{caLeaf ""}}`, `09 cert key web spiffe://x 2026<nil>`},
	} {
		if got := output(t, c.text, everything); got != c.want {
			t.Errorf("%s\n got %q\nwant %q", c.text, got, c.want)
		}
	}
}

// R2: safeLs and safeTree wait for a key that they would give.
func TestSafe(t *testing.T) {
	folders, none := query("prefix", "folders", ""), query("prefix", "none", "")
	known := answers{folders: everything[folders], none: []*watch.KeyPair{}}
	for text, absent := range map[string][]watch.Query{
		`{{safeLs "none"}}{{safeTree "none"}}`:   {none},
		`{{safeLs "folders"}}`:                   {folders},
		`{{safeTree "folders"}}{{ls "folders"}}`: {folders},
		`{{ls "none"}}{{tree "folders"}}`:        nil,
	} {
		r := parse(t, text).Execute(t.Context(), known.lookup)
		if !slices.Equal(r.Absent, absent) || len(r.Pending) != 0 || r.Finished() != (absent == nil) {
			t.Errorf("%s: absent %v, pending %v, error %v", text, r.Absent, r.Pending, r.Err)
		}
	}
}

// The functions that make named arguments say what they want, and never repeat a value that came from a source.
func TestNamedArgumentErrors(t *testing.T) {
	known := answers{kv("k"): "s3cret value", kv("n"): "5"}
	for text, want := range map[string]string{
		`{{service "web" (status)}}`:                      `t:1:18: status: needs at least one of any, passing, warning, critical, maintenance`,
		`{{service "web" (status "pasing")}}`:             `t:1:18: status: invalid status: "pasing"; hint: did you mean passing?`,
		`{{service "web" (status (key "k"))}}`:            `t:1:18: status: invalid status: an argument of 12 bytes that is not in the template's text`,
		`{{service "web" (meta "a.b" "c")}}`:              `t:1:18: meta: invalid key: "a.b"; hint: a key of metadata has only letters, digits, - and _`,
		`{{service "web" (meta (key "k") "c")}}`:          `t:1:18: meta: invalid key: an argument of 12 bytes that is not in the template's text; hint: a key of metadata has only letters, digits, - and _`,
		`{{service "web" (key "k") (dc "dc2")}}`:          `t:1:3: service: accepts one name beside named arguments, not 2`,
		`{{key (key "k" | parseJSON)}}`:                   `t:1:18: parseJSON: invalid character at byte 1 looking for beginning of value`,
		`{{key "a" (key "n" | parseInt)}}`:                `t:1:3: key: accepts texts and named arguments, not a value of the type int64`,
		`{{key (dc (key "k")) (dc (key "k")) (key "k")}}`: `t:1:3: key: the named argument dc is used twice`,
	} {
		if err := parse(t, text).Execute(t.Context(), known.lookup).Err; err == nil || shown(err) != want {
			t.Errorf("%s\n got %v\nwant %s", text, err, want)
		}
	}
}

// Whatever an argument is, there is no panic, and the query is in its one canonical form.
func FuzzArguments(f *testing.F) {
	functions := []string{"service", "services", "nodes", "node", "key", "keyExists", "ls", "tree", "file", "connect", "peerings", "safeTree"}
	for i, arg := range []string{
		"v1.web?ns=n&peer=p@dc2~n1|any,critical", "?ns=a&partition=p@dc2", "~_agent", "n1@dc2", "/app/port?ns=a@dc2", "app/", "/", "//", " a ",
		"web|,", "?=&&", "a=b.c", "\x00\xff", "a?ns=&ns=b",
	} {
		f.Add(uint(i), arg)
	}
	f.Fuzz(func(t *testing.T, i uint, arg string) {
		function := functions[i%uint(len(functions))]
		tmpl, err := template.Parse("t", "{{"+function+" "+strconv.Quote(arg)+"}}", template.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, q := range tmpl.Execute(t.Context(), answers{}.lookup).Used {
			if again := watch.NewQuery(q.Kind, q.Name, q.Options()); again != q {
				t.Errorf("%s %q: %#v and %#v", function, arg, q, again)
			}
			for opt, values := range q.Options() {
				if !slices.IsSorted(values) || slices.Contains(values, "") {
					t.Errorf("%s %q: option %s has the values %q", function, arg, opt, values)
				}
			}
			if (q.Kind == watch.KindKV || q.Kind == watch.KindFile || q.Kind == watch.KindService) && q.Name == "" || strings.HasPrefix(q.Name, "/") && q.Kind != watch.KindFile {
				t.Errorf("%s %q: the name is %q", function, arg, q.Name)
			}
		}
	})
}

// Of several faults in an argument it is always the same that is reported.
func TestSameFaultEachTime(t *testing.T) {
	tmpl := parse(t, `{{service "web?b=1&a=2&c=3"}}`)
	first := tmpl.Execute(t.Context(), answers{}.lookup).Err
	for range 50 {
		if again := tmpl.Execute(t.Context(), answers{}.lookup).Err; again.Error() != first.Error() {
			t.Fatalf("%v, then %v", first, again)
		}
	}
}

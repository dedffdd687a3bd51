package template_test

var conformanceEngine = []conformance{
	// Output is the raw bytes; no newline is added.
	gives("", ""),
	gives("no newline", "no newline"),
	gives("CR LF\r\nNUL \x00 and no UTF-8 \xff\xfe", "CR LF\r\nNUL \x00 and no UTF-8 \xff\xfe"),
	gives(`[{{key "raw"}}]`, "[a\r\n\x00\xff]"),

	// The root data is nil.
	gives(`{{.}}`, "<no value>"),
	gives(`{{.foo}}`, "<no value>"),
	gives(`{{.foo.bar}}`, "<no value>"),
	gives(`{{with .}}x{{else}}none{{end}}`, "none"),

	// Missing keys.
	gives(`{{(parseJSON "{}").x}}`, "<no value>"),
	gives(`[{{(splitToMap "," ":" "a:1").b}}]`, "[]"),
	gives(`{{range service "v2.web"}}[{{.ServiceMeta.none}}]{{end}}`, "[]"),
	gives(`{{range service "v2.web"}}[{{.NodeMeta.none | toUpper}}]{{end}}`, "[]"),
	gives(`{{range service "svc"}}{{with .ServiceTaggedAddresses.wan}}{{.Address}}:{{.Port}}{{end}}{{end}}`, ":0"),

	// The language.
	gives(`a {{- /* comment */ -}} b`, "ab"),
	gives("a\n{{- 1 -}}\nb", "a1b"),
	gives(`{{/* nothing */}}`, ""),
	gives(`{{define "t"}}<{{.}}>{{end}}{{template "t" "x"}}{{template "t"}}`, "<x><<no value>>"),
	gives(`{{define "t"}}{{key "app/a"}}{{end}}{{template "t"}}`, "1"),
	gives(`{{block "t" 1}}{{.}}{{end}}{{template "t" 2}}`, "12"),
	gives(`{{range $i, $c := split "" "abcd"}}{{if eq $i 1}}{{continue}}{{end}}{{if eq $i 3}}{{break}}{{end}}{{$c}}{{end}}`, "ac"),
	gives(`{{range 3}}{{.}}{{end}}`, "012"),
	gives(`{{range service "none"}}x{{else}}empty{{end}}`, "empty"),
	gives(`{{with $x := key "app/a"}}{{$x}}{{end}}{{$y := 1}}{{$y = 2}}{{$y}}`, "12"),
	gives(`{{if keyExists "none"}}1{{else if keyExists "app/a"}}2{{else}}3{{end}}`, "2"),
	gives(`{{1}} {{1.5}} {{1e3}} {{0x1F}} {{'a'}} {{true}} {{"s"}} {{print nil}}`, "1 1.5 1000 31 97 true s <nil>"),

	gives(`{{with key "app/empty"}}x{{else with key "app/b"}}{{.}}{{end}}`, "two"),
	gives(`{{range $i, $s := service "web"}}{{if $i}},{{end}}{{$s.ID}}{{end}}`, "web-1,web-0,web-2"),
	gives(`{{$n := 0}}{{range service "web"}}{{$n = len .Name}}{{end}}{{$n}}`, "3"),

	// Go's functions.
	gives(`{{and 1 0}} {{and 1 2}} {{or 0 2}} {{or "" 0}} {{not 0}}`, "0 2 2 0 true"),
	gives(`{{eq 1 1}} {{eq 1 2 1}} {{ne 1 1}} {{lt 1 2}} {{le 1 1}} {{gt 1 2}} {{ge 1 1}}`, "true true false true true false true"),
	gives(`{{html "<a b='c'>"}} {{js "it's"}} {{urlquery "a b&c"}}`, `&lt;a b=&#39;c&#39;&gt; it\'s a+b%26c`),
	gives(`{{len "abc"}} {{len (service "web")}} {{index (split "," "a,b") 1}} {{slice "abcd" 1 3}}`, "3 3 b bc"),
	gives(`{{print 1 2 "x" "y"}}|{{printf "%05d|%q" 7 "s"}}|{{println "a" 1}}`, "1 2xy|00007|\"s\"|a 1\n"),
	fails(`{{call 1}}`, "non-function"),

	// Errors.
	fails(`{{`, "unclosed action"),
	fails(`{{if 1}}`, "unexpected EOF"),
	fails(`{{end}}`, "unexpected {{end}}"),
	fails(`{{nope}}`, "there is no function nope"),
	fails(`{{template "nope"}}`, `"nope"`),
	fails("one\n  {{nope 1}}", "t:2:5: "),
	fails("one\n  {{mustEnv `X`}}", "t:2:5: "),
	fails(`{{index (split "," "a") 5}}`, "index out of range"), // a panic, or what would be one
	fails(`{{key}}`, "key: "),
	fails(`{{key "a" "b"}}`, "key: "),
	fails(`{{key 1}}`, "int"),

	// A pass that waits for answers never fails.
	gives(`{{(index (service "web") 0).ID}}`, "web-1"),
	gives(`{{(node "n1").Node.Address}}`, "10.0.0.1"),
	gives(`{{(index (key "data/json" | parseJSON).a.b 2)}}`, "x"),
	gives(`{{key "app/a" | parseInt | divide 1}}`, "1"),

	// Queries of one level ask those of the next.
	gives(`{{range services}}{{range service .Name}}{{with node .Node}}{{if eq .Node.Node "n2"}}{{.Node.Address}} {{end}}{{end}}{{end}}{{end}}`,
		"10.0.0.2 10.0.0.2 10.0.0.2 "),
	gives(`{{range ls "app/"}}{{.Key}}={{key .Path}} {{end}}`, "a=1 b=two empty= "),
	gives(`{{key (keyOrDefault "none" "app/a")}} {{keyOrDefault (keyOrDefault "app/empty" "app/b") "d"}}`, "1 two"),
	gives(`{{range $name := split "," "svc,db-primary"}}{{range service (printf "%s|any" $name)}}{{with node .Node}}{{.Node.Node}}/{{len .Services}} {{end}}{{end}}{{end}}`, "n1/4 n2/4 "),

	// What is the same is asked once.
	waits(`{{keyExists "none"}}{{keyOrDefault "none" "d"}}{{key "none"}}{{key "/none"}}`, "kv none"), // difference 28
	waits(`{{safeLs "none/"}}{{safeTree "none/"}}{{tree "none/"}}{{ls "/none/"}}`, "prefix none/"),
	waits(`{{service "web@nope"}}{{service "web@nope|passing"}}{{service "web@nope" "passing"}}`, "service web (dc=nope)"),
	waits(`{{service "web@nope|warning,critical"}}{{service "web@nope|critical,warning"}}`, "service web (dc=nope&status=critical&status=warning)"),
	waits(`{{service "web@nope"}}{{connect "web@nope"}}{{service "v1.web@nope"}}`, "service web (dc=nope), connect web (dc=nope), service web (dc=nope&tag=v1)"),
	waits(`{{key "none/1"}}{{key "none/2"}}{{key "none/1"}}{{key "app/a"}}`, "kv none/1, kv none/2"),
}

// The argument of service. connect has the same.
var conformanceServiceGrammar = []conformance{
	gives(ids(`"web"`), "web-1 web-0 web-2 "),
	gives(ids(`"none"`), ""),
	gives(ids(`"WEB"`), "web-1 web-0 web-2 "), // Consul does not look at the case
	gives(ids(`"Mixed_Case"`), "Mixed_1 "),
	gives(ids(`"db-primary|any"`), "db-1 "),

	// TAG
	gives(ids(`"v1.web"`), "web-1 web-0 web-2 "),
	gives(ids(`"v2.web"`), "web-1 "),
	gives(ids(`"nope.web"`), ""),
	gives(ids(`"my.svc"`), "svc "),
	gives(ids(`"k=v.svc"`), "svc "),
	gives(ids(`"x:y.svc"`), "svc "),
	gives(ids(`"a-b.svc"`), "svc "),
	gives(ids(`"a.b.web"`), "web-1 "),
	gives(ids(`"a.b.c.svc"`), "svc "),
	gives(ids(`"b.c.svc"`), ""),
	gives(ids(`"canary.web|critical"`), "web-c "),
	fails(ids(`".web"`), `invalid format: ".web"`),
	fails(ids(`"web."`), `invalid format: "web."`),

	// NAME
	fails(ids(`"we b"`), `invalid format: "we b"`),
	fails(ids(`" web"`), `invalid format: " web"`),
	fails(ids(`"wéb"`), `invalid format: "wéb"`),
	fails(ids(`"web/x"`), `invalid format: "web/x"`),
	fails(ids(`"web!"`), `invalid format: "web!"`),
	fails(ids("\"web\\n\""), "invalid format"),

	// QUERY
	gives(ids(`"web?peer=nobody"`), ""),
	gives(ids(`"web?peer=nobody|any"`), ""),
	waits(ids(`"web?ns=x"`), "service web (ns=x)"), // Consul without namespaces refuses
	waits(ids(`"web?partition=x"`), "service web (partition=x)"),
	waits(ids(`"web?sameness-group=x"`), "service web (sameness-group=x)"),
	waits(ids(`"v1.web?ns=x&partition=y@dc1~n1|any"`), "service web (dc=dc1&near=n1&ns=x&partition=y&status=any&tag=v1)"),
	fails(ids(`"web?peer=p&sameness-group=g"`), "cannot specify both peer and sameness-group"),
	fails(ids(`"web?foo=bar"`), `invalid query parameter key "foo" in query "foo=bar"`),
	fails(ids(`"web?ns=a.b"`), "invalid format"),
	fails(ids(`"web?ns=a%20b"`), "invalid format"),
	fails(ids(`"web?ns=a/b"`), "invalid format"),
	fails(ids(`"web?"`), `invalid format: "web?"`),
	fails(ids(`"?ns=x"`), "invalid format"),

	// DC
	gives(ids(`"web@dc1"`), "web-1 web-0 web-2 "),
	waits(ids(`"web@nope"`), "service web (dc=nope)"),
	waits(ids(`"web@my-dc.example_1"`), "service web (dc=my-dc.example_1)"),
	fails(ids(`"web@"`), `invalid format: "web@"`),
	fails(ids(`"@dc1"`), `invalid format: "@dc1"`),
	fails(ids(`"web@dc1?ns=x"`), `invalid format: "web@dc1?ns=x"`),

	// NEAR
	gives(ids(`"svc~n1"`), "svc "),
	gives(ids(`"svc~_agent"`), "svc "),
	gives(ids(`"svc@dc1~idle.example"`), "svc "),
	gives(ids(`"v2.web@dc1~n1|passing"`), "web-1 "),
	fails(ids(`"web~n1@dc1"`), `invalid format: "web~n1@dc1"`),
	fails(ids(`"web~"`), `invalid format: "web~"`),
	fails(ids(`"~n1"`), `invalid format: "~n1"`),

	// FILTERS
	gives(ids(`"web|passing"`), "web-1 web-0 web-2 "),
	gives(ids(`"web|any"`), "web-1 web-m web-c web-w web-0 web-2 web-n "),
	gives(ids(`"web|warning"`), "web-w "),
	gives(ids(`"web|critical"`), "web-c "),
	gives(ids(`"web|maintenance"`), "web-m web-n "),
	gives(ids(`"web|warning,critical"`), "web-c web-w "),
	gives(ids(`"web|critical,warning"`), "web-c web-w "),
	gives(ids(`"web|passing,passing"`), "web-1 web-0 web-2 "),
	gives(ids(`"web|passing,warning"`), "web-1 web-w web-0 web-2 "),
	gives(ids(`"web|critical,maintenance"`), "web-m web-c web-n "),
	gives(ids(`"web|warning,any"`), "web-1 web-m web-c web-w web-0 web-2 web-n "),
	gives(ids(`"web@dc1|warning"`), "web-w "),
	fails(ids(`"web|bogus"`), `invalid filter: "bogus" in "web|bogus"`),
	fails(ids(`"web|passing,bogus"`), `invalid filter: "bogus"`),
	fails(ids(`"web|Passing"`), `invalid filter: "Passing"`),
	fails(ids(`"web|"`), `invalid format: "web|"`),
	fails(ids(`"web|,"`), `"web|,"`), // difference 29
	fails(ids(`"web|passing, warning"`), "invalid format"),
	fails(ids(`"web|any@dc1"`), "invalid format"),
	fails(ids(`"|any"`), `invalid format: "|any"`),

	// Several arguments are joined with |.
	gives(ids(`"web" "any"`), "web-1 web-m web-c web-w web-0 web-2 web-n "),
	gives(ids(`"web" "passing"`), "web-1 web-0 web-2 "),
	gives(ids(`"web" "warning,critical"`), "web-c web-w "),
	fails(ids(`"web" ""`), "invalid format"),
	fails(ids(`"web" "warning" "critical"`), "invalid format"),

	// No argument, and an empty one.
	gives(ids(``), ""),
	gives(ids(`""`), ""),
	gives(ids(`"" "any"`), ""),

	gives(`{{range connect ""}}x{{end}}{{range connect}}x{{end}}none`, "none"),
	fails(`{{connect "web|"}}`, `invalid format: "web|"`),
	fails(`{{connect "web|bogus"}}`, `invalid filter: "bogus" in "web|bogus"`),
	gives(`{{range connect "web" "any"}}{{.ID}}{{end}}`, "web-proxy"),
	waits(`{{connect "web@nope"}}`, "connect web (dc=nope)"),
}

// ids is a text that gives the instances that service has for some arguments.
func ids(args string) string { return `{{range service ` + args + `}}{{.ID}} {{end}}` }

var conformanceGrammar = []conformance{
	// key, keyExists, keyOrDefault
	gives(`{{key "app/a"}}`, "1"),
	gives(`{{key "/app/a"}} {{key "//app/a"}}`, "1 1"),
	gives(`{{key "app/a@dc1"}}`, "1"),
	gives(`{{key "/app/a?peer=p@dc1"}}`, "1"), // passed over
	gives(`{{key "app/a?sameness-group=p"}}`, "1"),
	gives(`{{key "sp ace/k y"}} {{key "ключ"}}`, "blank значение"),
	waits(`{{key "app/a?ns=x"}}`, "kv app/a (ns=x)"),
	waits(`{{key "app/a?partition=x&ns=y"}}`, "kv app/a (ns=y&partition=x)"),
	waits(`{{key "app/a@nope"}}`, "kv app/a (dc=nope)"),
	fails(`{{key "app/a@dc1?ns=x"}}`, `invalid format: "app/a@dc1?ns=x"`),
	fails(`{{key "app/a@"}}`, `invalid format: "app/a@"`),
	fails(`{{key "app/a?"}}`, `invalid format: "app/a?"`),
	fails(`{{key "@dc1"}}`, `invalid format: "@dc1"`),
	fails(`{{key "app/a?foo=bar"}}`, `invalid query parameter key "foo" in query "foo=bar"`),
	fails(`{{key "app/a?ns=a.b"}}`, "invalid format"),
	fails(`{{key "app/a@d c"}}`, "invalid format"),
	fails(`{{keyExists "app/a@dc1?ns=x"}}`, `invalid format: "app/a@dc1?ns=x"`),
	fails(`{{keyOrDefault "app/a@dc1?ns=x" "d"}}`, `invalid format: "app/a@dc1?ns=x"`),
	gives(`{{keyExists "/app/a@dc1"}} {{keyOrDefault "/app/a@dc1" "d"}}`, "true 1"),
	gives(`[{{key ""}}] {{keyExists ""}} {{keyOrDefault "" "d"}}`, "[] false d"),

	// ls, tree, safeLs, safeTree
	gives(`{{range ls "/app/dir/"}}{{.Key}} {{end}}`, "x y "),
	gives(`{{range ls "app/dir/@dc1"}}{{.Key}} {{end}}`, "x y "),
	gives(`{{range tree "app/dir/?peer=p@dc1"}}{{.Key}} {{end}}`, "deep/z x y "),
	waits(`{{ls "app/@nope"}}`, "prefix app/ (dc=nope)"),
	waits(`{{tree "app/?ns=x"}}`, "prefix app/ (ns=x)"),
	fails(`{{ls "app/@dc1?ns=x"}}`, "invalid format"),
	fails(`{{tree "@dc1"}}`, "invalid format"),
	fails(`{{safeLs "app/@dc1?ns=x"}}`, "invalid format"),
	fails(`{{safeTree "app/?foo=bar"}}`, `invalid query parameter key "foo"`),
	gives(`{{len (ls "")}} {{len (tree "")}} {{len (safeLs "")}} {{len (safeTree "")}}`, "0 0 0 0"),

	// services
	gives(`{{eq (len services) (len (services "@dc1")) (len (services ""))}}`, "true"),
	gives(`{{eq (len services) (len (services "?peer=p" "@dc1"))}}`, "true"),
	waits(`{{services "?ns=x" "@dc1"}}`, "services (dc=dc1&ns=x)"),
	fails(`{{services "web"}}`, `invalid format: "web"`),
	fails(`{{services "@dc1~n1"}}`, `invalid format: "@dc1~n1"`),
	fails(`{{services "?foo=bar"}}`, `invalid query parameter key "foo"`),

	// nodes
	gives(`{{eq (len nodes) (len (nodes "@dc1")) (len (nodes "~n1")) (len (nodes "@dc1" "~_agent")) 6}}`, "true"),
	waits(`{{nodes "?partition=x@dc1~n1"}}`, "nodes (dc=dc1&near=n1&partition=x)"),
	fails(`{{nodes "n1"}}`, `invalid format: "n1"`),
	fails(`{{nodes "~n1@dc1"}}`, `invalid format: "~n1@dc1"`),

	// node
	gives(`{{with node}}{{.Node.Node}}{{end}} {{with node ""}}{{.Node.Node}}{{end}}`, "test test"),
	gives(`{{with node "n1@dc1"}}{{.Node.Node}}{{end}} {{with node "n1" "@dc1"}}{{.Node.Node}}{{end}}`, "n1 n1"),
	gives(`{{with node "idle.example"}}{{.Node.Node}}{{end}}`, "idle.example"),
	waits(`{{node "n1?ns=x@nope"}}`, "node n1 (dc=nope&ns=x)"),
	fails(`{{node "@dc1"}}`, `invalid format: "@dc1"`),
	fails(`{{node "n1~n2"}}`, `invalid format: "n1~n2"`),
	fails(`{{node "n 1"}}`, `invalid format: "n 1"`),
	fails(`{{node "n1?foo=bar"}}`, `invalid query parameter key "foo"`),

	fails(`{{datacenters true false}}`, "datacenters"),
	fails(`{{peerings "x"}}`, `invalid format: "x"`),
	fails(`{{peerings "?foo=bar"}}`, `invalid query parameter key "foo"`),
	fails(`{{exportedServices "a" "b"}}`, "exportedServices"),
	fails(`{{importedServices}}`, "importedServices"),
	fails(`{{importedServices ""}}`, "importedServices"),
	gives(`{{with caLeaf ""}}x{{else}}none{{end}} {{with caLeaf}}x{{else}}none{{end}}`, "none none"),
	gives(`[{{file ""}}]`, "[]"),
}

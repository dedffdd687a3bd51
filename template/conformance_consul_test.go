package template_test

var conformanceKeys = []conformance{
	// key
	gives(`[{{key "app/empty"}}]`, "[]"),
	gives(`{{key "data/yaml"}}`, "a:\n  b: [1, 2]\n1: one\nbig: 10000000\nyes: on\n"),
	waits(`{{key "none"}}`, "kv none"),
	waits(`{{key "app"}}`, "kv app"),
	waits(`{{key "app/a/"}}`, "kv app/a/"),
	waits(`{{key "APP/a"}}`, "kv APP/a"),
	gives(`{{with key "app/a"}}{{.}}{{end}}{{if false}}{{key "none"}}{{end}}`, "1"),

	// keyExists
	gives(`{{keyExists "app/a"}} {{keyExists "app/empty"}} {{keyExists "none"}}`, "true true false"),
	gives(`{{keyExists "app"}} {{keyExists "app/"}} {{keyExists "app/dir"}} {{keyExists "app/dir/"}}`, "false true false true"),

	// keyOrDefault
	gives(`{{keyOrDefault "app/b" "d"}}`, "two"),
	gives(`{{keyOrDefault "none" "d"}}`, "d"),
	gives(`{{keyOrDefault "app/empty" "d"}}`, "d"),
	gives(`[{{keyOrDefault "none" ""}}]`, "[]"),
	gives(`{{"d" | keyOrDefault "none"}}`, "d"),

	// ls
	gives(`{{range ls "app/"}}{{.Key}}={{.Value}} {{end}}`, "a=1 b=two empty= "),
	gives(`{{range ls "app"}}{{.Key}}={{.Value}} {{end}}`, "a=1 b=two empty= le=fruit "),
	gives(`{{range ls "app/d"}}{{.Key}} {{end}}`, ""),
	gives(`{{range ls "app/dir/"}}{{.Path}} {{end}}`, "app/dir/x app/dir/y "),
	gives(`{{len (ls "app/a")}} {{len (ls "folder/")}} {{len (ls "none")}}`, "0 0 0"),

	// tree
	gives(`{{range tree "app/"}}{{.Key}} {{end}}`, "a b dir/deep/z dir/x dir/y empty "),
	gives(`{{range tree "app"}}{{.Key}} {{end}}`, "a b dir/deep/z dir/x dir/y empty le "),
	gives(`{{range tree "app/dir"}}{{.Key}} {{end}}`, "deep/z x y "),
	gives(`{{range tree "app/dir/d"}}{{.Key}} {{.Path}}{{end}}`, "eep/z app/dir/deep/z"),
	gives(`{{len (tree "app/a")}} {{len (tree "folder/")}} {{len (tree "none")}}`, "0 0 0"),
	gives(`{{range tree "/"}}{{if in .Path "p"}}{{.Key}} {{end}}{{end}}`,
		"app/a app/b app/dir/deep/z app/dir/x app/dir/y app/empty apple data/empty grp/loose grp/one/p1 grp/one/p2/x grp/two/p1 sp ace/k y "),

	gives(`{{range ls "/"}}{{.Key}} {{end}}`, "apple raw ключ "),
	gives(`{{range ls "app/e"}}{{.Key}} {{.Path}}{{end}}`, "mpty app/empty"),
	gives(`{{range tree "app/dir/x"}}{{.Key}}{{end}}`, ""),
	gives(`{{range tree "sp ace/"}}{{.Key}}={{.Value}}{{end}}{{range tree "клю"}}{{.Key}}={{.Value}}{{end}}`, "k y=blankч=значение"),

	// safeLs, safeTree
	gives(`{{range safeLs "app/"}}{{.Key}} {{end}}`, "a b empty "),
	gives(`{{range safeTree "app/dir/"}}{{.Key}} {{end}}`, "deep/z x y "),
	waits(`{{safeLs "none/"}}`, "prefix none/"),
	waits(`{{safeLs "folder/"}}`, "prefix folder/"),
	waits(`{{safeLs "grp/one/p2"}}x{{safeLs "app/a"}}`, "prefix app/a"),
	waits(`{{safeTree "none/"}}`, "prefix none/"),
	waits(`{{safeTree "folder/"}}`, "prefix folder/"),
	gives(`{{len (ls "folder/")}}{{len (safeTree "app/")}}`, "06"),

	// KeyPair
	gives(`{{range ls "app/dir/"}}{{.Path}}|{{.Key}}|{{.Value}}|{{.LockIndex}}|{{.Flags}}|{{.Session}}|{{gt .CreateIndex 0}}|{{ge .ModifyIndex .CreateIndex}} {{end}}`,
		"app/dir/x|x|X|0|0||true|true app/dir/y|y|Y|0|0||true|true "),
	gives(`{{range ls "app/dir/"}}{{regexReplaceAll "Index\":[0-9]+" "Index\":N" (. | toJSON)}}{{break}}{{end}}`,
		`{"Path":"app/dir/x","Key":"x","Value":"X","CreateIndex":N,"ModifyIndex":N,"LockIndex":N,"Flags":0,"Session":""}`),
	gives(`{{ls "none" | toJSON}} {{tree "none" | toJSON}}`, "[] []"),
}

var conformanceService = []conformance{
	// Order: by node, then by ID.
	gives(`{{range service "web|any"}}{{.Node}}/{{.ID}} {{end}}`, "n1/web-1 n1/web-m n10/web-c n10/web-w n2/web-0 n2/web-2 nm/web-n "),

	// Status
	gives(`{{range service "web|any"}}{{.Status}} {{end}}`, "passing maintenance critical warning passing passing maintenance "),
	gives(`{{range service "db-primary"}}x{{end}}{{range service "db-primary|critical"}}{{.ID}}{{end}}`, "db-1"),

	gives(`{{range service "odd"}}x{{end}}{{range service "odd|passing,warning,critical,maintenance"}}x{{end}}{{range service "odd|any"}}[{{.Status}}]{{end}}`, "[]"),

	// HealthService
	gives(v2(`{{.Node}}`), "n1"),
	gives(v2(`{{.NodeID}}`), "5c7ba1b4-9a5b-4c7e-8f0e-000000000001"),
	gives(v2(`{{.NodeAddress}}`), "10.0.0.1"),
	gives(v2(`{{.NodeTaggedAddresses.lan}} {{.NodeTaggedAddresses.wan}}`), "10.0.0.1 198.51.100.1"),
	gives(v2(`{{.NodeMeta}} {{.NodeMeta.rack}}`), "map[rack:r1 zone:eu] r1"),
	gives(v2(`{{.ServiceMeta.env}} {{index .ServiceMeta "team"}}`), "prod a b/c"),
	gives(v2(`{{.Address}}`), "10.1.0.1"),
	gives(v2(`{{.ServiceTaggedAddresses.wan.Address}}:{{.ServiceTaggedAddresses.wan.Port}}`), "198.51.100.1:443"),
	gives(v2(`{{.ID}} {{.Name}} {{.Port}} {{.Status}}`), "web-1 web 8080 passing"),
	gives(v2(`{{.Tags}} {{len .Tags}} {{index .Tags 0}} {{.Tags | join ","}}`), "[a.b v1 v2] 3 a.b a.b,v1,v2"),
	gives(v2(`{{.Weights.Passing}} {{.Weights.Warning}}`), "10 2"),
	gives(v2(`{{toJSON .ServiceTaggedAddresses}} {{toJSON .Weights}} {{toJSON .Tags}}`),
		`{"lan":{"Address":"10.1.0.1","Port":8080},"wan":{"Address":"198.51.100.1","Port":443}} {"Passing":10,"Warning":2} ["a.b","v1","v2"]`),
	gives(v2(`{{range $k, $v := toJSON . | parseJSON}}{{$k}} {{end}}`),
		"Address Checks ID Name Node NodeAddress NodeID NodeMeta NodeTaggedAddresses Port ServiceMeta ServiceTaggedAddresses Status Tags Weights "),
	gives(v2(`{{range $k, $v := .NodeTaggedAddresses}}{{$k}}={{$v}} {{end}}{{range $k, $v := .ServiceMeta}}{{$k}} {{end}}`), "lan=10.0.0.1 wan=198.51.100.1 env team weight "),
	gives(v2(`{{range .Checks}}{{.CheckID}}{{end}}`), "passing"),
	gives(`{{range service "web"}}{{.Address}}:{{.Port}} {{end}}`, "10.1.0.1:8080 10.0.0.2:8080 10.0.0.2:8081 "), // the node's, where it has none
	gives(`{{range service "Mixed_Case"}}{{.Tags}}{{end}}`, "[M Z a]"),
	fails(v2(`{{.Nope}}`), "Nope"),

	gives(v2(`{{range $i, $t := .Tags}}{{$i}}{{$t}} {{end}}`), "0a.b 1v1 2v2 "),
	gives(`{{range service "web"}}{{.ServiceMeta.env}},{{index .ServiceMeta "weight" | parseInt}},{{.NodeMeta.zone}};{{end}}`, "prod,5,eu;,0,;stage,0,;"),

	// HealthCheck
	gives(load(`{{.Node}} {{.CheckID}} {{.Name}} {{.Status}}`), "n10 load Load warning"),
	gives(load(`{{.Notes}}|{{.Output}}|{{.Type}}`), "of 5 minutes|high|http"),
	gives(load(`{{.ServiceID}} {{.ServiceName}} {{.ServiceTags}}`), "web-w web [v1]"),
	gives(load(`[{{.Namespace}}{{.Partition}}{{.PeerName}}] {{.ExposedPort}}`), "[] 0"),
	gives(load(`{{.Definition.HTTP}} {{.Definition.Method}} {{.Definition.TLSSkipVerify}} [{{.Definition.TCP}}]`), "http://10.0.0.10/load GET false []"),
	gives(load(`{{gt .CreateIndex 0}} {{ge .ModifyIndex .CreateIndex}}`), "true true"),

	gives(`{{range service "svc"}}{{toJSON .}}{{end}}`, `{"Node":"n1","NodeID":"5c7ba1b4-9a5b-4c7e-8f0e-000000000001","NodeAddress":"10.0.0.1",`+
		`"NodeTaggedAddresses":{"lan":"10.0.0.1","wan":"198.51.100.1"},"NodeMeta":{"rack":"r1","zone":"eu"},"ServiceMeta":null,`+
		`"Address":"10.0.0.1","ServiceTaggedAddresses":null,"ID":"svc","Name":"svc","Tags":["a-b","a.b.c","k=v","my","x:y"],"Checks":[],`+
		`"Status":"passing","Port":1,"Weights":{"Passing":1,"Warning":1}}`),
	gives(`{{service "none" | toJSON}}`, "[]"),

	gives(`{{range connect "web"}}{{.ID}} {{.Name}} {{.Address}}:{{.Port}} {{.Status}}{{end}}`, "web-proxy web-sidecar 10.0.0.2:21000 passing"),
	gives(`{{connect "none" | toJSON}}`, "[]"),
	gives(`{{connect "svc" | toJSON}}`, "[]"),
}

// v2 is a text about web-1, load one about the check of web-w.
func v2(text string) string { return `{{range service "v2.web"}}` + text + `{{end}}` }
func load(text string) string {
	return `{{range service "web|warning"}}{{range .Checks}}` + text + `{{end}}{{end}}`
}

var conformanceCatalog = []conformance{
	gives(`{{range services}}{{.Name}} {{end}}`, "Mixed_Case consul db-primary odd svc web web-sidecar "),
	gives(`{{range services}}{{if eq .Name "web"}}{{.Tags}} {{.Tags | join ","}}{{end}}{{end}}`, "[a.b canary v1 v2] a.b,canary,v1,v2"),
	gives(`{{range services}}{{if eq .Name "db-primary" "svc"}}{{toJSON .}}{{end}}{{end}}`,
		`{"Name":"db-primary","Tags":[]}{"Name":"svc","Tags":["a-b","a.b.c","k=v","my","x:y"]}`),

	gives(`{{range nodes}}{{.Node}}={{.Address}} {{end}}`, "idle.example=10.0.0.99 n1=10.0.0.1 n10=10.0.0.10 n2=10.0.0.2 nm=10.0.0.5 test=127.0.0.1 "),
	gives(`{{range nodes}}{{if eq .Node "n1"}}{{.ID}} {{.Datacenter}} {{.TaggedAddresses.wan}} {{.Meta.rack}}{{end}}{{end}}`,
		"5c7ba1b4-9a5b-4c7e-8f0e-000000000001 dc1 198.51.100.1 r1"),
	gives(`{{range nodes}}{{if eq .Node "n1" "n10"}}{{toJSON .}}{{end}}{{end}}`,
		`{"ID":"5c7ba1b4-9a5b-4c7e-8f0e-000000000001","Node":"n1","Address":"10.0.0.1","Datacenter":"dc1",`+
			`"TaggedAddresses":{"lan":"10.0.0.1","wan":"198.51.100.1"},"Meta":{"rack":"r1","zone":"eu"}}`+
			`{"ID":"5c7ba1b4-9a5b-4c7e-8f0e-000000000010","Node":"n10","Address":"10.0.0.10","Datacenter":"dc1","TaggedAddresses":null,"Meta":null}`),

	gives(`{{range nodes}}[{{.Meta.rack}}{{with .TaggedAddresses}} {{.lan}}{{end}}]{{end}}`, "[][r1 10.0.0.1][][r2][][ 127.0.0.1]"),
	gives(`{{with node "n1"}}{{.Node.ID}} {{.Node.Address}} {{.Node.Datacenter}} {{.Node.TaggedAddresses.lan}} {{.Node.Meta.zone}}{{end}}`,
		"5c7ba1b4-9a5b-4c7e-8f0e-000000000001 10.0.0.1 dc1 10.0.0.1 eu"),
	gives(`{{with node "n1"}}{{range .Services}}{{.Service}}/{{.ID}} {{end}}{{end}}`, "Mixed_Case/Mixed_1 svc/svc web/web-1 web/web-m "),
	gives(`{{with node "n2"}}{{range .Services}}{{.Service}}/{{.ID}} {{end}}{{end}}`, "db-primary/db-1 web/web-0 web/web-2 web-sidecar/web-proxy "),
	gives(`{{with node "n1"}}{{with index .Services 2}}{{.ID}} {{.Service}} {{.Tags}} {{.Meta.env}} {{.Port}} {{.Address}} {{.EnableTagOverride}}{{end}}{{end}}`,
		"web-1 web [a.b v1 v2] prod 8080 10.1.0.1 false"),
	gives(`{{with node "n1"}}{{with index .Services 1}}{{toJSON .}}{{end}}{{end}}`,
		`{"ID":"svc","Service":"svc","Tags":["a-b","a.b.c","k=v","my","x:y"],"Meta":null,"Port":1,"Address":"","EnableTagOverride":false}`),
	gives(`{{with node "idle.example"}}{{.Node.Address}} {{len .Services}}{{end}}`, "10.0.0.99 1"),
	gives(`{{with node}}{{.Node.Node}} {{.Node.Address}}{{range .Services}} {{.Service}}{{end}}{{end}}`, "test 127.0.0.1 consul"),
	gives(`{{with node "none"}}{{if .Node}}x{{else}}no node{{end}} {{len .Services}}{{end}}`, "no node 0"),
	fails(`{{with node "none"}}{{.Node.Address}}{{end}}`, "Address"),

	gives(`{{datacenters}} {{datacenters true}} {{datacenters false}}`, "[dc1] [dc1] [dc1]"),
	gives(`{{range datacenters}}{{.}} {{len (nodes (printf "@%s" .))}}{{end}}`, "dc1 6"),
}

var conformanceMesh = []conformance{
	waits(`{{partitions}}`, "partitions"), // Consul without partitions refuses
	gives(`{{peerings | toJSON}} {{len (peerings "")}}`, "[] 0"),
	gives(`{{peerings "?ns=x" | toJSON}}`, "[]"), // passed over
	waits(`{{peerings "?partition=x"}}`, "peerings (partition=x)"),
	waits(`{{importedServices "x"}}`, "imported-services (partition=x)"),
	gives(`{{range exportedServices}}{{.Service}} {{.Partition}}{{.Namespace}}{{.Consumers.Peers}} {{.Consumers.Partitions}} {{end}}`, "api [p1] [] web [p1 p2] [] "),
	gives(`{{exportedServices | toJSON}}`, `[{"Service":"api","Partition":"","Namespace":"","Consumers":{"Peers":["p1"],"Partitions":[]}},`+
		`{"Service":"web","Partition":"","Namespace":"","Consumers":{"Peers":["p1","p2"],"Partitions":[]}}]`),

	waits(`{{exportedServices "p"}}`, "exported-services (partition=p)"),
	gives(`{{range exportedServices ""}}{{.Service}} {{end}}`, "api web "),
	gives(`{{range caRoots}}{{range $k, $v := toJSON . | parseJSON}}{{$k}} {{end}}{{end}}`, "Active CreateIndex ID ModifyIndex Name NotAfter NotBefore RootCert "),
	gives(`{{with caLeaf "web"}}{{range $k, $v := toJSON . | parseJSON}}{{$k}} {{end}}{{end}}`,
		"CertPEM CreateIndex ModifyIndex PrivateKeyPEM SerialNumber Service ServiceURI ValidAfter ValidBefore "),
	gives(`{{range caRoots}}{{with .DaysRemaining}}x{{end}}{{.NotAfter.UTC.IsZero}}{{end}}`, "false"), // Consul does not tell the days
	gives(`{{range caRoots}}{{.Name}} {{.Active}} {{.RootCertPEM | trimSpace | regexMatch "^-----BEGIN CERTIFICATE-----"}}{{end}}`, "Consul CA Primary Cert true true"),
	gives(`{{range caRoots}}{{gt (len .ID) 0}} {{.NotBefore.Before .NotAfter}} {{gt .CreateIndex 0}} {{ge .ModifyIndex .CreateIndex}}{{end}}`, "true true true true"),
	gives(`{{range caRoots}}{{regexMatch "\"RootCert\":\"-----BEGIN" (toJSON .)}}{{end}} {{len (caRoots "ignored")}}`, "true 1"),
	gives(`{{with caLeaf "web"}}{{.Service}} {{regexMatch "/svc/web$" .ServiceURI}} {{.ValidAfter.Before .ValidBefore}}{{end}}`, "web true true"),
	gives(`{{with caLeaf "web" "ignored"}}{{regexMatch "^-----BEGIN CERTIFICATE" .CertPEM}} {{regexMatch "PRIVATE KEY" .PrivateKeyPEM}} {{gt (len .SerialNumber) 0}}{{end}}`, "true true true"),
}

package template_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"render/template"
	"render/watch"
	"render/watch/vault"
	"render/watch/vaulttest"
)

// The cases of Vault, with the data of seedVault.
var conformanceVault = map[string][]conformance{
	"A2 paths": {
		gives(`{{with secret "secret/app"}}{{.Data.data.user}}{{end}}`, "shop"),
		gives(`{{with secret " /secret/data/app/ "}}{{.Data.data.user}}{{end}}`, "shop"),
		gives(`{{with vault "secret/app"}}{{.Data.data.user}}{{end}}`, "shop"),
		gives(`{{with secret "secret/./x/../app//"}}{{.Data.data.user}}{{end}}`, "shop"),
		gives(`{{with secret "secret/%61pp"}}{{.Data.data.user}}{{end}}`, "shop"),
		gives(`{{with secret "secret/app?version=1"}}{{.Data.data.user}} {{.Data.metadata.version}}{{end}}`, "old 1"),
		gives(`{{with secret "secret/data/data/x"}}{{.Data.data.a}}{{end}}`, "b"),
		gives(`{{with secret "secret/metadata/app"}}{{.Data.current_version}}{{end}}`, "2"),
		gives(`{{with secret "secret/subkeys/app"}}{{toJSON .Data.subkeys.deep}}{{end}}`, `{"list":null,"map":{"k":null}}`),
		gives(`{{with secret "kv1/app"}}{{.Data.user}}{{end}}`, "v1"),
		gives(`[{{secret}}]{{with secret}}x{{end}}`, "[<no value>]"),
		fails(`{{secret ""}}`, "t:1:3: secret: the path is empty"),
		fails(`{{secret "/"}}`, "secret: the path is empty"),
		fails(`{{vault ""}}`, "secret: the path is empty"),
		fails(`{{secret "a%zz"}}`, "t:1:3: secret: a % in the path must begin an escape such as %20"),
		fails(`{{secret "a?b;c=%zz"}}`, "secret: the parameters after the ? are not as in a URL"),
		fails(`{{secret 1}}`, "expected string"),
		waits(`{{secret "a:b/c"}}`, "secret a:b/c"),               // only ? separates
		waits(`{{secret "secret/app#x"}}`, "secret secret/app#x"), // the same
		waits(`{{secret "secret/a?x=1"}}{{secret "secret/a?x=2"}}`, "secret secret/a?x=1, secret secret/a?x=2"),
	},
	"A2 values": {
		gives(`{{with secret "secret/app"}}{{.Data.data.n}} {{.Data.data.exp}} {{.Data.data.frac}} {{.Data.data.yes}} {{.Data.data.none}}{{end}}`, "10000000 1000 2.5 true <no value>"),
		gives(`{{with (secret "secret/app").Data.data}}{{.n.String}} {{.n.Int64}} {{.frac.Float64}}{{end}}`, "10000000 10000000 2.5"),
		gives(`{{with (secret "secret/app").Data.data}}{{eq (printf "%v" .n) "10000000"}} {{add .n.Int64 1}} {{sprig_int .n}} {{sprig_add .n 1}}{{end}}`, "true 10000001 10000000 10000001"),
		fails(`{{with (secret "secret/app").Data.data}}{{eq .n 5}}{{end}}`, "incompatible types"),
		fails(`{{with (secret "secret/app").Data.data}}{{add .n 1}}{{end}}`, "add: "),
		fails(`{{with (secret "secret/app").Data.data}}{{parseInt .n}}{{end}}`, "json.Number"),
		gives(`{{with (secret "secret/app").Data.data}}{{range .deep.list}}{{.}};{{end}}{{.deep.map.k}}{{end}}`, "1;a;v"),
		gives(`{{with secret "secret/app"}}{{index .Data.data "a-b"}}{{end}}`, "dash"),
		gives(`{{range $k, $v := (secret "kv1/app").Data}}{{$k}}={{$v}} {{end}}`, "pass=p port=5432 user=v1 "),
		gives(`{{(secret "secret/app").Data.data.nope}}`, "<no value>"),
		gives(`{{(secret "secret/app").Data.user}}`, "<no value>"),
		fails(`{{(secret "secret/app").Data.nope.deeper}}`, "the value whose field deeper is read does not exist"),
		fails(`{{(secret "kv1/app").Data.data.host}}`, "the value whose field host is read does not exist"),
		fails(`{{(secret "kv1/app").Nope}}`, "a Secret has no field Nope"),
		gives(`{{with secret "secret/app"}}{{.LeaseID}}|{{.LeaseDuration}}|{{.Renewable}}|{{.Warnings}}|{{with .Auth}}x{{end}}|{{with .WrapInfo}}x{{end}}{{end}}`, "|0|false|[]||"),
		gives(`{{(secret "kv1/app").LeaseDuration}}`, "2764800"),
		gives(`{{with secret "kv1/ttl"}}{{.LeaseDuration}} {{.Data.ttl}}{{end}}`, "60 60"),
		gives(`{{with secret "kv1/app"}}{{toJSON . | regexReplaceAll "RequestID\":\"[^\"]+" "RequestID\":\"id"}}{{end}}`,
			`{"RequestID":"id","LeaseID":"","LeaseDuration":2764800,"Renewable":false,"Data":{"pass":"p","port":5432,"user":"v1"},"Warnings":null,"Auth":null,"WrapInfo":null}`),
		gives(`{{toJSON (secret "secret/app").Data.data.deep}}`, `{"list":[1,"a"],"map":{"k":"v"}}`),
		gives(`{{(secret "sys/seal-status").Data.sealed}}`, "false"), // all of the body
		gives(`{{toYAML (secret "secret/app").Data.data.deep.list}} {{toTOML (secret "kv1/app").Data}}`, "- 1\n- a pass = \"p\"\nport = 5432\nuser = \"v1\""),
	},
	"A2 missing": {
		waits(`{{secret "secret/nope"}}`, "secret secret/nope"),
		waits(`{{with secret "secret/nope"}}x{{else}}y{{end}}`, "secret secret/nope"),
		waits(`{{(secret "secret/nope").Data.data.x}}{{(secret "kv1/nope").Data.x}}`, "secret secret/nope, secret kv1/nope"),
		waits(`{{secret "secret/gone"}}`, "secret secret/gone"),
		waits(`{{(secret "secret/shredded").Data.data.x}}`, "secret secret/shredded"),
		waits(`{{with (secret "secret/shredded").Data.data}}x{{else}}y{{end}}`, "secret secret/shredded"),
		gives(`{{with secret "secret/later"}}{{.Data.data.a}}{{end}}`, "b"), // is deleted in an hour
		waits(`{{secret "secret/app?version=9"}}`, "secret secret/app?version=9"),
	},
	"A3 write": {
		gives(`{{secret "kv1/w" "a=b"}}`, "<nil>"), // 204
		gives(`{{with secret "kv1/w" "a=b"}}x{{else}}none{{end}}`, "none"),
		fails(`{{(secret "kv1/w" "a=b").Data}}`, "the Secret whose field Data is read does not exist"),
		fails(`{{(secret "kv1/w" "a=b").Data.x}}`, "the Secret whose field Data is read does not exist"),
		gives(`{{toJSON (secret "kv1/w" "a=b")}}`, "null"),
		gives(`{{with secret "secret/w1" " a = b=c " "" "a2=x"}}{{.Data.version}}{{end}}{{with secret "secret/w1"}}{{.Data.data}}{{end}}`, "1map[a:b=c a2:x]"),
		gives(`{{with secret "secret/w2" ""}}{{.Data.version}}{{end}}{{toJSON (secret "secret/w2").Data.data}}`, "1{}"),
		gives(`{{with secret "secret/w3" "a=1" "a=2"}}{{end}}{{toJSON (secret "secret/w3").Data.data}}`, `{"a":"2"}`),                      // the last, a string
		gives(`{{with secret "secret/w4" "a=1"}}{{.Data.version}}{{end}}{{with secret "secret/w4/" "a=1"}}{{.Data.version}}{{end}}`, "11"), // one request
		gives(`{{with secret "secret/w5?x" "a=1"}}{{end}}{{toJSON (secret "secret/w5%3Fx").Data.data}}`, `{"a":"1"}`),
		gives(`{{with secret "auth/token/create" "ttl=60s" "policies=default"}}{{with .Auth}}{{.Policies}} {{.LeaseDuration}} {{.Renewable}} {{.ClientToken | len | lt 20}}{{end}}{{end}}`, "[default] 60 true true"),
		fails(`{{secret "kv1/w" "bad"}}`, "secret: argument 1 after the path is not KEY=VALUE"),
		fails(`{{secret "" "a=b"}}`, "secret: the path is empty"),
	},
	"A7 lists": {
		gives(`{{secrets "secret"}}`, "[app data/ gone later shredded team/]"),
		gives(`{{secrets " /secret/metadata/ "}}`, "[app data/ gone later shredded team/]"),
		gives(`{{secrets "secret/team"}}{{secrets "secret/metadata/team/a/"}}`, "[a a/ b][c]"),
		gives(`{{secrets "secret/data"}}`, "[x]"),
		gives(`{{secrets "kv1"}}`, "[app ttl]"),
		gives(`{{range secrets "secret/nope"}}x{{else}}none{{end}}`, "none"),
		gives(`[{{secrets ""}}]`, "[[]]"),
		gives(`[{{range secrets "kv1"}}{{with secret (printf "kv1/%s" .)}}{{.LeaseDuration}} {{end}}{{end}}]`, "[2764800 60 ]"),
		fails(`{{secrets "/"}}`, "secrets: the path is empty"),
		fails(`{{secrets}}`, "wrong number of args"),
		fails(`{{secrets "a" "b"}}`, "wrong number of args"),
	},
	"A7 certificates": {
		gives(`{{with pkiCert "pki/issue/web" "common_name=web.example"}}{{.Cert | regexMatch "(?s)^-----BEGIN CERTIFICATE-----\n.*\n-----END CERTIFICATE-----\n$"}}{{end}}`, "true"),
		gives(`{{with pkiCert "pki/issue/web" "common_name=web.example"}}{{.Key | regexMatch "PRIVATE KEY"}} {{eq .CA (index .CAChain 0)}} {{eq .Cert .Data.Cert}}{{end}}`, "true true true"),
		gives(`[{{pkiCert}}]`, "[<no value>]"),
		fails(`{{pkiCert ""}}`, "pkiCert: the path is empty"),
		fails(`{{pkiCert "pki/issue/web" "bad"}}`, "pkiCert: argument 1 after the path is not KEY=VALUE"),
		fails(`{{(pkiCert "pki/issue/web" "common_name=web.example").Nope}}`, "a PKICert has no field Nope"),
	},
	"optional": {
		gives(`{{secretExists "secret/app"}} {{secretExists "kv1/app"}} {{secretExists "secret/nope"}} {{secretExists "kv1/nope"}} {{secretExists "secret/gone"}} {{secretExists "secret/shredded"}}`,
			"true true false false false false"),
		gives(`{{secretExists "secret/app?version=1"}} {{secretExists "secret/app?version=9"}}`, "true false"),
		gives(`{{secretOrDefault "secret/app" "user" "d"}} {{secretOrDefault "secret/data/app" "n" 1}} {{secretOrDefault "secret/app" "nope" "d"}} {{secretOrDefault "secret/app" "none" "d"}}`, "shop 10000000 d d"),
		gives(`{{secretOrDefault "kv1/app" "user" "d"}} {{secretOrDefault "kv1/app" "nope" "d"}} {{secretOrDefault "kv1/nope" "user" "d"}} {{secretOrDefault "secret/gone" "user" "d"}}`, "v1 d d d"),
		gives(`{{(secretOrDefault "secret/app" "deep" "").map.k}}[{{secretOrDefault "secret/app" "empty" "d"}}]`, "v[]"),
		gives(`{{secretOrDefault "secret/subkeys/app" "user" "d"}} {{secretOrDefault "secret/metadata/app" "current_version" "d"}}`, "d 2"),
		fails(`{{secretExists ""}}`, "secretExists: the path is empty"),
		fails(`{{secretOrDefault "" "a" "b"}}`, "secretOrDefault: the path is empty"),
		fails(`{{secretOrDefault "a" "b"}}`, "wrong number of args"),
	},
	"denied": { // as a token that may read secret/app alone
		waits(`{{secret "secret/other"}}`, "secret secret/other"),
		waits(`{{secretExists "secret/other"}}`, "secret secret/other"),
		waits(`{{secretOrDefault "secret/other" "a" "d"}}`, "secret secret/other"),
		waits(`{{secrets "kv1"}}`, "secrets kv1"),
		waits(`{{secret "kv1/w" "password=x"}}`, "secret-write kv1/w (written=password)"),
		gives(`{{with secret "secret/app"}}{{.Data.data.user}}{{end}}`, "shop"),
	},
}

// What templates see of a real Vault is what they see with consul-template, but for what is better on purpose.
func TestConformanceVault(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a Vault")
	}
	server := vaulttest.Start(t)
	seedVault(t, server)
	denied := server.NewToken(t, map[string]any{"policies": []string{"narrow"}})
	for _, section := range slices.Backward(slices.Sorted(maps.Keys(conformanceVault))) { // writes after lists
		cases := conformanceVault[section]
		token := server.Token
		if section == "denied" {
			token = denied
		}
		src, err := vault.New(vault.Config{Address: server.Addr, Token: token})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(src.Close)
		t.Run(section, func(t *testing.T) {
			known := sources{src, make(map[watch.Query]any)}
			for _, c := range cases {
				if fault := c.fault(known.finish(t.Context(), c.text, template.Options{})); fault != "" {
					t.Errorf("%s\n%s", c.text, fault)
				}
			}
		})
	}
}

func seedVault(t *testing.T, server *vaulttest.Server) {
	t.Helper()
	write := func(path, fields string) {
		t.Helper()
		server.Put(t, path, json.RawMessage(fields))
	}
	write("secret/data/app", `{"data":{"user":"old"}}`)
	write("secret/data/app", `{"data":{"user":"shop","n":10000000,"exp":1e3,"frac":2.50,"yes":true,"none":null,"empty":"","a-b":"dash","deep":{"list":[1,"a"],"map":{"k":"v"}}}}`)
	for _, name := range []string{"b", "a", "a/c"} {
		write("secret/data/team/"+name, `{"data":{}}`)
	}
	write("secret/data/data/x", `{"data":{"a":"b"}}`)
	write("secret/data/gone", `{"data":{"a":"b"}}`)
	server.Must(t, http.MethodDelete, "secret/data/gone", nil)
	write("secret/data/shredded", `{"data":{"a":"b"}}`)
	write("secret/destroy/shredded", `{"versions":[1]}`)
	write("secret/metadata/later", `{"delete_version_after":"1h"}`)
	write("secret/data/later", `{"data":{"a":"b"}}`)
	write("kv1/app", `{"user":"v1","port":5432,"pass":"p"}`)
	write("kv1/ttl", `{"ttl":60}`)
	write("sys/mounts/pki", `{"type":"pki"}`)
	write("pki/root/generate/internal", `{"common_name":"root","ttl":"24h"}`)
	write("pki/roles/web", `{"allow_any_name":true,"ttl":"1h","key_type":"ec","key_bits":256}`)
	policy, _ := json.Marshal(`path "secret/data/app" { capabilities = ["read"] }`)
	write("sys/policies/acl/narrow", `{"policy":`+string(policy)+`}`)
}

// What a pass asks of Vault, before anything is answered and after that.
func TestSecretQueries(t *testing.T) {
	read := func(path string) watch.Query { q, _ := watch.NewSecret(path); return q }
	list := func(path string) watch.Query { q, _ := watch.NewSecrets(path); return q }
	write := func(path string, pairs ...string) watch.Query { q, _ := watch.NewSecretWrite(path, pairs...); return q }
	cert := func(path, files string, pairs []string, fields ...string) watch.Query {
		q, _ := watch.NewPKICert(path, pairs, strings.Fields(files), fields...)
		return q
	}
	a, x := kv("a"), read("x")
	for _, c := range []struct {
		text            string
		known           answers
		pending, absent []watch.Query
		complete        bool
	}{
		// While a secret is pending its fields are empty, so that one pass finds all queries.
		{`{{(secret "x").Data.data.y}}{{with secret "y"}}{{.Data.z}}{{end}}{{range (secret "z").Data}}{{end}}`, answers{}, []watch.Query{x, read("y"), read("z")}, nil, false},
		{`{{secretExists "x"}}{{secretOrDefault "x" "y" "z"}}{{vault "x"}}{{secrets "x"}}`, answers{}, []watch.Query{x, list("x")}, nil, false},
		{`{{secretExists "x"}}{{secret "x"}}`, answers{x: nil}, nil, []watch.Query{x}, true},
		{`{{if secretExists "x"}}{{secret "x"}}{{end}}{{secretOrDefault "x" "a" "b"}}`, answers{x: nil}, nil, nil, true},
		// A path that comes from what is pending is no error, and an empty one queries nothing.
		{`{{secret (key "a")}}{{secrets (printf "/%s" (key "a"))}}{{secretExists (key "a")}}{{secretOrDefault (key "a") "b" "c"}}{{secret "x"}}`, answers{}, []watch.Query{a, x}, nil, false},
		{`{{secret (key "a")}}`, answers{a: nil}, nil, []watch.Query{a}, false},
		// A write waits for all that stands before it.
		{`{{secret "w" (key "a" | printf "k=%s")}}`, answers{}, []watch.Query{a}, nil, false},
		{`{{secret "w" (key "a" | printf "k=%s")}}`, answers{a: nil}, nil, []watch.Query{a}, false},
		{`{{secret "w" (key "a" | printf "k=%s")}}`, answers{a: "v"}, []watch.Query{write("w", "k=v")}, nil, false},
		{`{{if not (keyExists "a")}}{{secret "w" "k=v"}}{{end}}`, answers{}, []watch.Query{a}, nil, false},
		{`{{if not (keyExists "a")}}{{secret "w" "k=v"}}{{end}}`, answers{a: "v"}, nil, nil, true},
		{`{{secret "w" "k=v"}}{{key "a"}}`, answers{}, []watch.Query{write("w", "k=v"), a}, nil, false},
		{`{{secret "x"}}{{secret "w" "k=v"}}`, answers{}, []watch.Query{x}, nil, false},
		{`{{secretExists "x"}}{{secret "w" "k=v"}}`, answers{x: nil}, []watch.Query{write("w", "k=v")}, nil, false},
		{`{{secret "w" "k=v"}}{{secret "w" "k=v2"}}`, answers{}, []watch.Query{write("w", "k=v")}, nil, false},
		{`{{secret "w" "k=v"}}{{secret "w" "k=v2"}}`, answers{write("w", "k=v"): (*watch.Secret)(nil)}, []watch.Query{write("w", "k=v2")}, nil, false},
		{`{{secret "w" "" ""}}`, answers{}, []watch.Query{write("w")}, nil, false},
		{`{{plugin "p"}}{{secret "w" "k=v"}}`, answers{}, []watch.Query{plugin("p")}, nil, false},
		// So does a certificate.
		{`{{pkiCert "c" (key "a" | printf "common_name=%s")}}`, answers{}, []watch.Query{a}, nil, false},
		{`{{pkiCert "c" (key "a" | printf "common_name=%s")}}`, answers{a: "v"}, []watch.Query{cert("c", "/etc/web.pem", []string{"common_name=v"})}, nil, false},
		{`{{with pkiCert "c"}}{{.Cert}}{{.Data.CA}}{{end}}`, answers{}, []watch.Query{cert("c", "/etc/web.pem", nil, "Cert", "CA")}, nil, false},
		{`{{$c := pkiCert "c"}}{{if $c}}{{range $c.CAChain}}{{end}}{{end}}{{define "k"}}{{(pkiCert "d").Key}}{{end}}`, answers{}, []watch.Query{cert("c", "/etc/web.pem", nil, "CAChain", "Key")}, nil, false},
		// It may be in a file that the text names, wherever, unless another certificate may have the same names.
		{`{{(pkiCert "c" "common_name=a").Cert | writeToFile "/etc/a" "" "" "0600"}}{{(pkiCert "d" "common_name=b").Cert | writeToFile "/etc/b" "" "" "0600"}}{{pkiCert "c" "common_name=a"}}`,
			answers{}, []watch.Query{cert("c", "/etc/a /etc/b /etc/web.pem", []string{"common_name=a"}, "Cert")}, nil, false},
		{`{{(pkiCert "c" "common_name=a").Cert | writeToFile "/etc/a" "" "" "0600"}}{{(pkiCert "d" "common_name=A").Cert | writeToFile "/etc/b" "" "" "0600"}}`,
			answers{}, []watch.Query{cert("c", "", []string{"common_name=a"}, "Cert")}, nil, false},
		{`{{(pkiCert "c" "common_name=a").Cert | writeToFile "/etc/a" "" "" "0600"}}{{(pkiCert "d" (print "common_name=" "b")).Cert}}`,
			answers{}, []watch.Query{cert("c", "", []string{"common_name=a"}, "Cert")}, nil, false},
		{`{{with pkiCert "server" "common_name=a"}}{{.Cert}}{{end}}{{template "k"}}{{define "k"}}{{with pkiCert "client" "common_name=a"}}{{.Cert}}{{end}}{{end}}`,
			answers{}, []watch.Query{cert("server", "", []string{"common_name=a"}, "Cert")}, nil, false},
		{`{{with pkiCert "c" (print "common_name=" "a")}}{{.Cert}}{{end}}{{with pkiCert "c" (print "common_name=" "a")}}{{.Key}}{{end}}{{define "k"}}{{pkiCert "d" "common_name=a"}}{{end}}`,
			answers{}, []watch.Query{cert("c", "/etc/web.pem", []string{"common_name=a"}, "Cert", "Key")}, nil, false},
		{`{{$n := "k"}}{{if false}}{{executeTemplate $n}}{{end}}{{pkiCert "c" "common_name=a"}}{{define "k"}}{{pkiCert "d" "common_name=a"}}{{end}}`,
			answers{}, []watch.Query{cert("c", "", []string{"common_name=a"})}, nil, false},
		{`{{with pkiCert "c"}}{{.Cert}}{{.Key | writeToFile "/etc/web.key" "" "" "0600"}}{{if false}}{{writeToFile "/etc/other" "" "" "0600" (print (writeToFile "/etc/in/../a" "" "" "0600" "b"))}}{{end}}{{end}}` +
			`{{writeToFile (print "/etc/b" "c") "" "" "0600" "d"}}{{define "k"}}{{writeToFile "/etc/web.pem" "" "" "0600" "e"}}{{end}}`,
			answers{}, []watch.Query{cert("c", "/etc/a /etc/other /etc/web.key /etc/web.pem", nil, "Cert", "Key")}, nil, false},
	} {
		for _, strict := range []bool{false, true} {
			tmpl, err := template.Parse("t", c.text, template.Options{Destination: "/etc/web.pem", ErrorOnMissingKey: strict})
			if err != nil {
				t.Fatal(err)
			}
			r := tmpl.Execute(t.Context(), c.known.lookup)
			if got, want := show(r.Pending), show(c.pending); got != want {
				t.Errorf("%s with %v, strict %t\npending %s\n   want %s", c.text, c.known, strict, got, want)
			}
			if got, want := show(r.Absent), show(c.absent); got != want || r.Complete != c.complete || r.Err != nil {
				t.Errorf("%s with %v, strict %t\nabsent %s, want %s; complete %v, error %v", c.text, c.known, strict, got, want, r.Complete, r.Err)
			}
		}
	}
}

// Data does not lead to a path that the template's text does not name.
func TestSecretPathOfData(t *testing.T) {
	for _, text := range []string{`{{secret (printf "app/%s" (key "a"))}}`, `{{secretExists (printf "app/%s?version=1" (key "a"))}}`, `{{secretOrDefault (printf "app/%s" (key "a")) "b" "c"}}`,
		`{{secrets (printf "app/%s" (key "a"))}}`, `{{secret (printf "app/%s" (key "a")) "b=c"}}`, `{{pkiCert (printf "pki/issue/%s" (key "a")) "common_name=a"}}`} {
		for _, value := range []string{"../../sys/policies/acl/admin", "x/..", "..", "%2e%2e/%2E./x"} {
			r := parse(t, text).Execute(t.Context(), answers{kv("a"): value}.lookup)
			if len(r.Pending) > 0 || r.Err == nil || strings.Contains(r.Err.Error(), "sys") {
				t.Errorf("%s with %q: %v, pending %s", text, value, r.Err, show(r.Pending))
			}
		}
		if r := parse(t, text).Execute(t.Context(), answers{kv("a"): "x/..y/..."}.lookup); r.Err != nil || len(r.Pending) == 0 {
			t.Errorf("%s: %v", text, r.Err)
		}
	}
}

// show returns queries with all that is in them.
func show(all []watch.Query) string {
	var b strings.Builder
	for _, q := range all {
		b.WriteString(q.Kind + " " + q.Name + "?" + q.Opts + "; ")
	}
	return b.String()
}

// What a template changes of a secret is its own.
func TestSecretIsCopied(t *testing.T) {
	q, _ := watch.NewSecret("x")
	secret := &watch.Secret{Data: map[string]any{"a": map[string]any{"b": "c"}, "l": []any{map[string]any{"m": "n"}}}}
	tmpl := parse(t, `{{$s := secret "x"}}{{$_ := set $s.Data "new" 1}}{{$_ := set $s.Data.a "b" "d"}}{{range $s.Data.l}}{{$_ := set . "m" "o"}}{{end}}`+
		`{{$_ := set (secretOrDefault "x" "a" nil) "b" "e"}}{{$s.Data}} {{(secret "x").Data}}`)
	for range 2 {
		r := tmpl.Execute(t.Context(), answers{q: secret}.lookup)
		if got, want := string(r.Output), "map[a:map[b:d] l:[map[m:o]] new:1] map[a:map[b:c] l:[map[m:n]]]"; got != want {
			t.Errorf("got %s, %v\nwant %s", got, r.Err, want)
		}
	}
}

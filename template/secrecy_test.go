package template_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"render/template"
	"render/watch"
	"render/watch/hint"
)

// No error has a value of a secret, wherever the value is, whatever is done with it, and also where the template's own text has the
// word.
func TestErrorsHaveNoSecrets(t *testing.T) {
	const (
		word   = "c4narysecret"
		number = "424242424242"
	)
	auth := &watch.SecretAuth{ClientToken: word, Accessor: word, Policies: []string{word}, Metadata: map[string]string{"m": word}}
	secret := &watch.Secret{
		LeaseID: word, Warnings: []string{word}, Auth: auth, WrapInfo: &watch.SecretWrapInfo{Token: word, WrappedAccessor: word},
		Data: map[string]any{
			"data": map[string]any{"v": word, "n": json.Number(number), "l": []any{[]any{word, json.Number(number)}}, "m": map[string]any{"x": map[string]any{"y": word}}},
			"v":    word, "n": json.Number(number), "json": `{"` + word + `": ` + number + `}`, "part": "a-" + word + "-b",
		},
	}
	variable := watch.NewNomadVar(watch.NomadVarMeta{Path: "v"}, map[string]string{"v": word, "n": number})
	cert := &watch.PKICert{Cert: word, Key: word, CA: word, CAChain: []string{word}}
	read, _ := watch.NewSecret("s")
	write, _ := watch.NewSecretWrite("s", "a=b")
	issue, _ := watch.NewPKICert("c", nil, nil)
	leaf := watch.NewQuery(watch.KindCALeaf, "web", nil)
	known := answers{read: secret, write: secret, leaf: &watch.LeafCert{PrivateKeyPEM: word}}

	values := []string{
		`(secret "s").Data.v`, `(secret "s").Data.n`, `(secret "s").Data.data.v`, `(secret "s").Data.data.n`, `(index (index (secret "s").Data.data.l 0) 0)`,
		`(index (index (secret "s").Data.data.l 0) 1)`, `(secret "s").Data.data.m.x.y`, `(secret "s").Data.json`, `(secret "s").Data.part`,
		`(index (split "-" (secret "s").Data.part) 1)`, `(printf "a-%s" (secret "s").Data.v)`, `(secret "s").Data.n.String`, `(secret "s").Data.n.Int64`,
		`(secret "s").Auth.ClientToken`, `(secret "s").Auth.Accessor`, `(secret "s").WrapInfo.Token`, `(secret "s").WrapInfo.WrappedAccessor`, `(secret "s").LeaseID`,
		`(secret "s")`, `(secret "s").Data`, `(secret "s").Data.data.l`, `(secret "s").Auth`, `(toJSON (secret "s"))`, `(print (secret "s").Data)`,
		`(secret "s" "a=b").Data.v`, `(secret "s" "a=b").Auth.ClientToken`, `(secretOrDefault "s" "v" "")`, `(secretOrDefault "s" "m" "")`,
		`(pkiCert "c").Key`, `(pkiCert "c").Cert`, `(index (pkiCert "c").CAChain 0)`, `(pkiCert "c")`, `(nomadVar "v").v`, `(nomadVar "v").v.Value`, `(nomadVar "v")`, `(nomadVar "v").ItemsMap`, `(index (nomadVar "v").Values 0)`, `(nomadVar "v").n.String`, `(caLeaf "web").PrivateKeyPEM`,
	}
	failing := []string{
		`{{service V}}`, `{{service (printf "%v!" V)}}`, `{{key (printf "a?%v=b" V)}}`, `{{key V V}}`, `{{node (printf "?%v" V)}}`, `{{parseBool V}}`, `{{parseInt V}}`, `{{parseUint V}}`,
		`{{parseInt (printf "%v" V)}}`, `{{parseJSON V}}`, `{{parseYAML V}}`, `{{parseYAML (printf "[%v" V)}}`, `{{base64Decode V}}`, `{{regexMatch V "x"}}`, `{{regexMatch (printf "(%v" V) "x"}}`, `{{toUpper V}}`,
		`{{mustEnv V}}`, `{{mustEnv (print V)}}`, `{{file V}}`, `{{V.field}}`, `{{V.Data.field.field}}`, `{{V.Auth.field}}`, `{{range V}}{{.x.y}}{{end}}`, `{{index V "a" "b"}}`, `{{index (list 1) V}}`, `{{slice "abc" V}}`,
		`{{eq V 1}}`, `{{lt V 1.5}}`, `{{eq V V 1}}`, `{{len V}}{{fail "x"}}`, `{{call V}}`, `{{template "t" V}}{{define "t"}}{{.x.y.z}}{{end}}`, `{{executeTemplate V}}`, `{{executeTemplate (print V)}}`,
		`{{fail (print V)}}`, `{{fail (printf "no: %v" V)}}`, `{{secret (printf "%v%%zz" V)}}`, `{{secret "w" (print V)}}`, `{{secret "w" "a" (print V)}}`, `{{secret "" (printf "a=%v" V)}}`,
		`{{secretExists (printf "%%zz%v" V)}}`, `{{secrets (printf "/" V)}}`, `{{pkiCert "c" (print V)}}`, `{{pkiCert (print V "%zz")}}`, `{{timestamp V}}{{fail "x"}}`, `{{add V 1}}`, `{{divide 0 V}}`, `{{loop V}}`,
		`{{sprig_int V | fail}}`, `{{dig "a" "b" V}}`, `{{semver (print V)}}`, `{{mustRegexMatch (printf "(%v" V) "x"}}`, `{{toDate "2006" (print V) | fail}}`, `{{fromJson V}}`, `{{mustFromJson (print V)}}`, `{{join V V}}`,
		`{{sockaddr (print V)}}`, `{{writeToFile "" "" "" "0600" (print V)}}`, `{{writeToFile "x" "" "" (print V) "y"}}`, `{{set V "a" 1 | fail}}`, `{{mergeMap V 1}}`, `{{sortBy "x" V}}`, `{{where V 1 2}}`, `{{b64dec V | fail}}`,
	}
	text := func(s string) string { return s + "{{/* " + word + " a-" + word + " " + number + " */}}" } // where the text has it
	failures := 0
	for _, form := range failing {
		for _, value := range values {
			for _, body := range []string{strings.ReplaceAll(form, "V", value), text(strings.ReplaceAll(form, "V", value))} {
				tmpl, err := template.Parse("t", body, template.Options{})
				if err != nil {
					t.Fatalf("%s: %v", body, err)
				}
				r := tmpl.Execute(t.Context(), func(q watch.Query) (any, bool) {
					switch q.Kind {
					case issue.Kind:
						return cert, true
					case watch.KindNomadVar:
						return variable, true
					}
					return known[q], true
				})
				e, ok := errors.AsType[*template.Error](r.Err)
				if !ok {
					continue
				}
				failures++
				said := fmt.Sprintf("%v %v %s", e, e.Err, e.Hint())
				if strings.Contains(said, word) || strings.Contains(said, number) || strings.Contains(said, "4.2424") {
					t.Errorf("%s\n%s", body, said)
				}
			}
		}
	}
	if failures < len(failing)*len(values) {
		t.Errorf("only %d of %d executions failed", failures, 2*len(failing)*len(values))
	}
}

// A word of the template is shown in errors as long as it is no secret.
func TestErrorsHaveWords(t *testing.T) {
	read, _ := watch.NewSecret("s")
	for value, want := range map[any]string{
		"other":      `t:1:20: parseBool: strconv.ParseBool: parsing "postgres": invalid syntax`,
		"pos":        `t:1:20: parseBool: strconv.ParseBool: parsing "postgres": invalid syntax`,
		"postgres":   "",
		"a postgres": "",
		"post":       "",
	} {
		known := answers{read: &watch.Secret{Data: map[string]any{"x": []any{map[string]any{"y": value}}}}}
		r := parse(t, `{{$s := secret "s"}}{{parseBool "postgres"}}`).Execute(t.Context(), known.lookup)
		if r.Err == nil || want == "" && strings.Contains(r.Err.Error(), "postgres") {
			t.Errorf("with %v: %v", value, r.Err)
		}
	}
}

// Show has no part of a secret that became a part of the name of a query, whatever else it shows.
func TestShowHasNoSecrets(t *testing.T) {
	const word = "c4narysecret"
	read, _ := watch.NewSecret("s")
	known := answers{read: &watch.Secret{Data: map[string]any{"data": map[string]any{"v": word}}, Auth: &watch.SecretAuth{ClientToken: word}}, kv("role"): "role-of-an-answer"}
	for _, call := range []string{
		`key V`, `key (printf "path/%s/x" V)`, `service V`, `service "web" (tag V)`, `service "web" (meta "m" V)`, `service "web" (filter (printf "a == %q" V))`, `secret V`,
		`secret (printf "path/%s?version=1" V)`, `secrets V`, `secret "w" (printf "%s=x" V)`, `secret "w" (printf "a=%s" V)`, `secret V "a=b"`, `pkiCert V`, `pkiCert "c" (printf "common_name=%s" V)`,
		`secretExists V`, `secretOrDefault V "a" "b"`, `ls V`, `file V`, `plugin "p" V`, `plugin V`, `caLeaf V`,
	} {
		for _, value := range []string{`(secret "s").Data.data.v`, `(secret "s").Auth.ClientToken`, `(slice (secret "s").Data.data.v 0 8)`, `(slice (secret "s").Data.data.v 0 8 | printf "a-%s")`} {
			text := `{{$_ := secret (printf "kv/%s" (key "role"))}}{{$_ := ` + strings.ReplaceAll(call, "V", value) + `}}`
			tmpl := parse(t, text)
			known := answers{read: known[read], kv("role"): known[kv("role")]}
			own, _ := watch.NewSecret("kv/role-of-an-answer")
			known[own] = &watch.Secret{}
			r := tmpl.Execute(t.Context(), known.lookup)
			if len(r.Used) != 4 {
				t.Fatalf("%s\nasks %v, %v", text, r.Used, r.Err)
			}
			q := r.Used[3]
			asked := q.Name
			if q.Kind == watch.KindSecret {
				asked, _ = q.SecretPath()
			}
			if mount, rest, found := strings.Cut(asked, "/"); found {
				asked = mount + "/data/" + rest // as the source of Vault requests a secret of KV v2
			}
			said := tmpl.Show(q) + fmt.Sprint(tmpl.ShowError(q, fmt.Errorf("%s: failed at %s: %s is missing", q, q.Name, asked)))
			if q.Kind == watch.KindPlugin {
				said = tmpl.Show(q)
			}
			if strings.Contains(said, word[:8]) {
				t.Errorf("%s\n%s", text, said)
			}
		}
	}
	tmpl := parse(t, `{{secret (printf "kv/%s" (key "role"))}}`)
	if r := tmpl.Execute(t.Context(), known.lookup); tmpl.Show(r.Used[1]) != "secret kv/role-of-an-answer (from an answer)" {
		t.Errorf("got %s", tmpl.Show(r.Used[1]))
	}
	tmpl = parse(t, `{{secret "w/x" "password=a"}}`)
	if r := tmpl.Execute(t.Context(), known.lookup); tmpl.Show(r.Used[0]) != "secret-write w/x (written=password)" {
		t.Errorf("got %s", tmpl.Show(r.Used[0]))
	}
}

// Which names of queries are cut: those that have a secret, or a part of one that reveals something of it.
func TestShowCuts(t *testing.T) {
	read, _ := watch.NewSecret("s")
	for _, c := range []struct {
		secret any
		name   string // of a key that comes from an answer
		cut    bool
	}{
		{"hunter2", "hunter2", true}, {"hunter2", "path/hunter2", true}, {"hunter2", "of-hunter2-too", true}, {"hunter2", "hunter", false},
		{"abc", "abc", true}, {"abc", "path/abc", true}, {"abc", "abc-web", false}, {"shop", "shop-web", false},
		{"postgres://user:longpassword@db", "x-longpassword", true}, {"postgres://user:longpassword@db", "postgres", true}, {"postgres://user:longpassword@db", "user-db", false},
		{json.Number("424242"), "n-424242", true}, {"pässword", "x-pässword", true}, {"\xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8", "x-\xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8", true},
		{"", "", false}, {"", "web", false}, {strings.Repeat("x", 2<<20), "web", true}, // so many that nobody looks
	} {
		tmpl := parse(t, `{{$_ := secret "s"}}{{$_ := keyExists (name (key "k"))}}{{/* path/ */}}`)
		r := tmpl.Execute(t.Context(), answers{read: &watch.Secret{Data: map[string]any{"data": map[string]any{"l": []any{c.secret}}}}, kv("k"): c.name}.lookup)
		last := r.Used[len(r.Used)-1]
		if cut := last.Name == c.name && strings.Contains(tmpl.Show(last), "..."); cut != c.cut {
			t.Errorf("the secret %.40q and the name %q: %s", c.secret, c.name, tmpl.Show(last))
		}
	}
}

// A name that a secret can be a part of, or decides on, is not shown. Others are, as in a template without secrets.
func TestNamesMadeOfSecrets(t *testing.T) {
	const word = "hunTer2"
	read, _ := watch.NewSecret("s")
	user, _ := watch.NewSecret("u")
	known := answers{
		read:    &watch.Secret{Data: map[string]any{"v": word, "l": []any{word}, "m": map[string]any{"k": word}}, Auth: &watch.SecretAuth{ClientToken: word}},
		user:    &watch.Secret{Data: map[string]any{"v": "app"}},
		kv("k"): "web", kv("list"): "web,hunTer2,db",
		query(watch.KindServices, "", ""): []*watch.CatalogSnippet{{Name: "web"}, {Name: "hunTer2"}},
	}
	for _, c := range []struct{ text, hidden, shown string }{ // names of the queries, apart from the secrets
		// What is made of a secret.
		{`{{keyExists (secret "s").Data.v}}`, "hunTer2", ""},
		{`{{keyExists ((secret "s").Data.v | toUpper)}}`, "HUNTER2", ""},
		{`{{(secret "s").Data.v | toLower | keyExists}}`, "hunter2", ""},
		{`{{with secret "s"}}{{keyExists (printf "users/%s" .Data.v)}}{{end}}`, "users/hunTer2", ""},
		{`{{with secret "s"}}{{range .Data.l}}{{keyExists .}}{{end}}{{end}}`, "hunTer2", ""},
		{`{{with secret "s"}}{{range $k, $v := .Data.m}}{{keyExists $v}}{{keyExists $k}}{{end}}{{end}}`, "hunTer2 k", ""},
		{`{{$s := secret "s"}}{{$v := $s.Data.v}}{{keyExists (print $v "x")}}`, "hunTer2x", ""},
		{`{{$v := ""}}{{with secret "s"}}{{$v = .Data.v}}{{end}}{{keyExists (print "a" $v)}}`, "ahunTer2", ""},
		{`{{$v := "a"}}{{range loop 2}}{{keyExists $v}}{{$v = (secret "s").Data.v}}{{end}}`, "hunTer2", "a"},
		{`{{with secret "s"}}{{template "t" .}}{{end}}{{define "t"}}{{keyExists .Data.v}}{{end}}`, "hunTer2", ""},
		{`{{with secret "s"}}{{template "t" .Data}}{{end}}{{define "t"}}{{with "x"}}{{keyExists $.v}}{{end}}{{end}}`, "hunTer2", ""},
		{`{{with secret "s"}}{{executeTemplate "t" .Data}}{{end}}{{define "t"}}{{keyExists .v}}{{end}}`, "hunTer2", ""},
		{`{{keyExists (executeTemplate "t")}}{{define "t"}}{{with secret "s"}}{{.Data.v}}{{end}}{{end}}`, "hunTer2", ""},
		{`{{executeTemplate (print "t") (secret "s").Data}}{{define "t"}}{{keyExists .v}}{{end}}`, "hunTer2", ""},
		{`{{with secret "s"}}{{scratch.Set "x" .Data.v}}{{end}}{{keyExists (scratch.Get "x")}}`, "hunTer2", ""},
		{`{{$d := dict}}{{$e := $d}}{{$_ := set $e "x" (secret "s").Data.v}}{{keyExists $d.x}}`, "hunTer2", ""},
		{`{{$d := dict}}{{$_ := (secret "s").Data | merge $d}}{{keyExists $d.v}}`, "hunTer2", ""},
		{`{{keyExists (secretOrDefault "s" "v" "")}}`, "hunTer2", ""},
		{`{{keyExists (vault "s").Auth.ClientToken}}`, "hunTer2", ""},
		{`{{keyExists (nomadVar "n").v.Value}}{{with nomadVar "n"}}{{range .Tuples}}{{keyExists (print .K .V)}}{{end}}{{end}}`, "hunTer2 vhunTer2", ""},
		{`{{keyExists (pkiCert "c").Key}}`, "hunTer2", ""},
		{`{{keyExists (caLeaf "c").PrivateKeyPEM}}`, "hunTer2", ""},
		{`{{range $i := loop 3}}{{keyExists (slice (secret "s").Data.v $i 3)}}{{end}}`, "hun un n", ""},
		{`{{len (service "web" (tag (secret "s").Data.v))}}`, "web", ""},
		{`{{keyExists (md5sum (secret "s").Data.v)}}{{$n := len (secret "s").Data.v}}{{keyExists (print "n" $n)}}`, "056b482fe17051d70e2697a142fcf579 n7", ""},
		// What a secret decides on, unless it is written.
		{`{{$s := secret "s"}}{{range services}}{{if eq .Name $s.Data.v}}{{keyExists .Name}}{{end}}{{end}}`, "hunTer2", "services"},
		{`{{$s := secret "s"}}{{range services}}{{if ne .Name $s.Data.v}}{{continue}}{{end}}{{keyExists .Name}}{{end}}`, "hunTer2", "services"},
		{`{{$s := secret "s"}}{{$n := ""}}{{range services}}{{if eq .Name $s.Data.v}}{{$n = .Name}}{{end}}{{end}}{{keyExists $n}}`, "hunTer2", "services"},
		{`{{$s := secret "s"}}{{$n := ""}}{{range services}}{{$n = .Name}}{{if eq .Name $s.Data.v}}{{break}}{{end}}{{end}}{{keyExists $n}}`, "hunTer2", "services"},
		{`{{$s := secret "s"}}{{range services}}{{$_ := and (eq .Name $s.Data.v) (keyExists .Name)}}{{end}}`, "hunTer2", "services"},
		{`{{$s := secret "s"}}{{range services}}{{if eq .Name $s.Data.v}}{{template "t" .Name}}{{end}}{{end}}{{define "t"}}{{keyExists .}}{{end}}`, "hunTer2", "services"},
		{`{{if eq (secret "s").Data.v "hunTer2"}}{{keyExists "app/web" (dc "dc2")}}{{keyExists "db"}}{{end}}`, "", "app/web db"},
		// What stands beside a secret.
		{`{{$s := secret "s"}}{{range services}}{{keyExists (printf "port/%s" .Name)}}{{end}}`, "", "services port/web port/hunTer2"},
		{`{{with secret "s"}}{{.Data.v}}{{end}}{{range (key "list") | split ","}}{{keyExists .}}{{end}}`, "", "list web hunTer2 db"},
		{`{{with secret "s"}}{{.Data.v}}{{end}}{{$k := key "k"}}{{template "t" $k}}{{define "t"}}{{keyExists (print "a/" .)}}{{end}}`, "", "k a/web"},
		{`{{with secret "s"}}{{.Data.v}}{{end}}{{keyExists (print (env "E") "a")}}`, "", "a"},
		{`{{range services}}{{keyExists .Name}}{{end}}{{$d := dict}}{{$_ := set $d "x" (secret "s").Data.v}}`, "", "services web hunTer2"},
		{`{{$d := dict}}{{$_ := set $d "x" (key "k")}}{{keyExists (print $d.x "/a")}}`, "", "k web/a"},
		{`{{secretExists "s"}}{{keyExists (print (key "k") "/a")}}`, "", "k web/a"},
		// A name that is asked in both ways is shown, as that of the place where it is ordinary.
		{`{{keyExists (secret "u").Data.v}}{{keyExists "app"}}`, "", "app"},
		{`{{keyExists "app"}}{{key (secret "u").Data.v}}`, "", "app"},
	} {
		for _, partials := range []string{"", `{{define "other"}}{{end}}`} {
			tmpl, err := template.Parse("t", c.text, template.Options{
				Env: testEnv, Partials: []template.Partial{{Name: "p", Text: partials}}, ID: func(q watch.Query) string { return q.Kind + "-1d" },
			})
			if err != nil {
				t.Fatal(err)
			}
			for range 2 { // iterations are repeated in the second
				r := tmpl.Execute(t.Context(), func(q watch.Query) (any, bool) {
					switch q.Kind {
					case watch.KindPKICert:
						return &watch.PKICert{Key: word}, true
					case watch.KindCALeaf:
						return &watch.LeafCert{PrivateKeyPEM: word}, true
					case watch.KindNomadVar:
						return watch.NewNomadVar(watch.NomadVarMeta{Path: "n"}, map[string]string{"v": word}), true
					}
					return known[q], true
				})
				var hidden, shown []string
				for _, q := range r.Used {
					switch said := tmpl.Show(q); {
					case q.Secret():
						if strings.Contains(said, "made of") {
							t.Errorf("%s\n%s", c.text, said)
						}
					case strings.HasPrefix(said, q.Kind+"-1d (name made of a secret, t:1:"):
						hidden = append(hidden, q.Name)
						if !tmpl.Hides(q) {
							t.Errorf("%s: Hides and Show differ for %s", c.text, q)
						}
					default:
						if name := q.Name; name != "" {
							shown = append(shown, name)
						} else {
							shown = append(shown, q.Kind)
						}
						if where := tmpl.Where(q); q.Name == "app" && !strings.HasSuffix(where, fmt.Sprint(":", strings.Index(c.text, `keyExists "app"`)+1)) {
							t.Errorf("%s: app is asked at %s", c.text, where)
						}
					}
				}
				if got := strings.Join(hidden, " "); got != c.hidden {
					t.Errorf("%s\nhides %q, not %q; %v", c.text, got, c.hidden, r.Err)
				}
				if got := strings.Join(shown, " "); got != c.shown {
					t.Errorf("%s\nshows %q, not %q; %v", c.text, got, c.shown, r.Err)
				}
			}
		}
	}
}

// Neither the text nor a hint of an error has a part of a name that is made of a secret, whatever a source does with the name.
func TestErrorsOfNamesMadeOfSecrets(t *testing.T) {
	read, _ := watch.NewSecret("s")
	for secret, forms := range map[string][]string{
		"hunTer2":            {"hunTer2", "HUNTER2", "hunter2", "%68unTer2", "unTer", "Ter2"},
		"correct horse/bat?": {"correct horse/bat?", "correct%20horse%2Fbat%3F", "correct+horse%2Fbat%3F", "CORRECT", "horse"},
		"pässwörd":           {"pässwörd", "p%C3%A4ssw%C3%B6rd", "PÄSSWÖRD", "wörd"},
		"ab":                 {"ab", "AB"},
		"\x00\x1b[31mx\xff":  {`\x00\x1b[31mx\xff`, "%00%1b%5b31mx%ff"},
	} {
		tmpl := parse(t, `{{keyExists (name (printf "users/%s" (secret "s").Data.v))}}{{len (service "web" (tag (secret "s").Data.v))}}{{(secret (print "kv/" (secret "s").Data.v)).Data}}`)
		r := tmpl.Execute(t.Context(), answers{read: &watch.Secret{Data: map[string]any{"v": secret}}}.lookup)
		if len(r.Used) != 4 {
			t.Fatalf("with %q: asks %v, %v", secret, r.Used, r.Err)
		}
		for _, q := range r.Used[1:] {
			for _, form := range forms {
				err := errors.New("permission denied")
				err = hint.Withf(fmt.Errorf(`%s: GET "http://127.0.0.1/v1/kv/data/%s?wait=60s" of %s answered 403: %w`, q, form, q.Name, err), "allow the path kv/data/%s for users of a cluster in a policy", form)
				said := fmt.Sprintf("%v %q", tmpl.ShowError(q, err), hint.Of(tmpl.ShowError(q, err)))
				if strings.Contains(said, form) || strings.Contains(said, q.Name) || len(hint.Of(tmpl.ShowError(q, err))) != 1 {
					t.Errorf("with %q: %s", secret, said)
				}
				for _, known := range []string{q.Kind + " (name made of a secret, t:1:", "answered 403: permission denied", "allow the path ... for users of a cluster in a policy"} {
					if !strings.Contains(said, known) && !strings.Contains(secret, " ") { // else several words are hidden
						t.Errorf("with %q: %s is not in %s", secret, known, said)
					}
				}
			}
		}
		if q := kv("other"); !tmpl.Hides(q) || tmpl.Show(q) != "kv (name made of a secret, t)" {
			t.Errorf("a query that the template has not asked is shown as %s", tmpl.Show(q))
		}
		if read, _ := watch.NewSecret("s"); tmpl.Hides(read) {
			t.Error("the secret itself is hidden")
		}
	}
}

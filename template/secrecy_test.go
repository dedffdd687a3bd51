package template_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"render/template"
	"render/watch"
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
	issue, _ := watch.NewPKICert("c", nil, "")
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
				asked = mount + "/data/" + rest // as the source of Vault asks for a secret of KV v2
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

// Which names of queries are cut: those that have a secret, or a part of one that tells something of it.
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

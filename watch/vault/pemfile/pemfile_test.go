package pemfile

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net"
	"slices"
	"strings"
	"testing"
	"time"
)

// Names of every form are compared with those of the pairs.
func TestNames(t *testing.T) {
	template := &x509.Certificate{Subject: pkix.Name{CommonName: "a.test"}, DNSNames: []string{"a.test"}, IPAddresses: []net.IP{net.ParseIP("::1")}}
	made := issue(t, template, time.Hour, nil)
	c := Scan([]byte(made.text))
	if c.Leaf == nil {
		t.Fatal("no certificate")
	}

	tests := []struct {
		pairs map[string]string
		want  bool
	}{
		{map[string]string{"common_name": "A.test", "ip_sans": "0:0::1"}, true},
		{map[string]string{"common_name": "a.test"}, false},
		{map[string]string{"common_name": "a.test", "ip_sans": "::1", "uri_sans": "spiffe://a"}, false},
		{map[string]string{"ip_sans": " ::1 ,"}, true},
	}
	for _, test := range tests {
		if got, why := c.Find(test.pairs, []string{"Cert"}, 0.9); (got.Leaf != nil) != test.want || (why == "") != test.want {
			t.Errorf("%v: got %v, %q", test.pairs, got.Leaf, why)
		}
	}
}

// issued is a certificate with its key.
type issued struct {
	cert      *x509.Certificate
	signer    *ecdsa.PrivateKey
	text, key string // PEM
}

// issue makes a certificate that began a minute ago and that a CA signs, or itself where that is nil.
func issue(t testing.TB, template *x509.Certificate, lives time.Duration, ca *issued) *issued {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if template.SerialNumber, err = rand.Int(rand.Reader, big.NewInt(1<<60)); err != nil {
		t.Fatal(err)
	}
	if template.NotBefore.IsZero() {
		template.NotBefore = time.Now().Add(-time.Minute)
	}
	template.NotAfter, template.BasicConstraintsValid = template.NotBefore.Add(time.Minute+lives), true
	parent, signer := template, key
	if ca != nil {
		parent, signer = ca.cert, ca.signer
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return &issued{
		cert, key, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})),
	}
}

func named(name string) *x509.Certificate {
	return &x509.Certificate{Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}}
}

func authority(name string) *x509.Certificate {
	return &x509.Certificate{Subject: pkix.Name{CommonName: name}, IsCA: true, KeyUsage: x509.KeyUsageCertSign}
}

// forms are texts in which a certificate, a key or both can stand.
var forms = []struct {
	name string
	of   func(pem string) string
}{
	{"alone", func(pem string) string { return pem }},
	{"after a mark of a comment", func(pem string) string { return "# " + pem }},
	{"after a key", func(pem string) string { return "cert = '" + pem + "'" }},
	{"indented, as in YAML", func(pem string) string { return "tls.crt: |\n    " + strings.ReplaceAll(pem, "\n", "\n    ") }},
	{"indented by tabs", func(pem string) string { return "\t" + strings.ReplaceAll(pem, "\n", "\n\t") }},
	{"ends of lines of Windows", func(pem string) string { return strings.ReplaceAll(pem, "\n", "\r\n") }},
	{"without ends of lines", func(pem string) string { return strings.ReplaceAll(pem, "\n", "") }},
	{"a text of JSON", inJSON},
	{"a text of JSON in a text of JSON", func(pem string) string { return inJSON(inJSON(pem)) }},
	{"a text of JSON with every escape", func(pem string) string {
		return strings.NewReplacer("/", `\/`, "+", `\u002b`, "=", `\u003D`, "\n", `\u000a`).Replace(pem)
	}},
	{"a text of YAML over several lines", func(pem string) string {
		return `"` + strings.NewReplacer("\n", "\\n\\\n  \\ ").Replace(pem) + `"`
	}},
	{"after a beginning without an end", func(pem string) string { return "-----BEGIN CERTIFICATE-----\nMIIB" + pem }},
	{"after an end", func(pem string) string { return "-----END CERTIFICATE----------BEGIN -----BEGIN CERTIFICATE " + pem }},
	{"after another block", func(pem string) string { return "-----BEGIN X-----\nMAYCAQUCAQI=\n-----END X-----" + pem }},
}

func inJSON(text string) string {
	quoted, err := json.Marshal(text)
	if err != nil {
		panic(err)
	}
	return string(quoted)
}

// A certificate is found in every form that a template can write, as it was issued.
func TestScan(t *testing.T) {
	ca := issue(t, authority("the CA"), time.Hour, nil)
	leaf := issue(t, named("a.test"), time.Hour, ca)
	pairs := map[string]string{"common_name": "a.test"}
	for _, form := range forms {
		whole := form.of(leaf.text + leaf.key + ca.text)
		parts := form.of(leaf.text) + form.of(leaf.key) + form.of(ca.text)
		for _, text := range []string{whole, parts} {
			got, why := Scan([]byte(text)).Find(pairs, []string{"Cert", "Key", "CA", "CAChain"}, 0.9)
			if why != "" || got.Value.Cert != leaf.text || got.Value.Key != leaf.key || got.Value.CA != ca.text || !slices.Equal(got.Value.CAChain, []string{ca.text}) {
				t.Errorf("%s: %s, got %+v of\n%s", form.name, why, got.Value, text)
			}
		}
	}
}

// Of several certificates that one is used which is wanted, with its own key and its own CAs. Where none can be used, the reason is that of
// the newest.
func TestFind(t *testing.T) {
	root := issue(t, authority("root"), time.Hour, nil)
	middle := issue(t, authority("middle"), time.Hour, root)
	other := issue(t, authority("other"), time.Hour, nil)
	a, b := issue(t, named("a.test"), time.Hour, middle), issue(t, named("b.test"), time.Hour, other)
	template := named("a.test")
	template.NotBefore = time.Now().Add(-20 * time.Hour)
	old := issue(t, template, time.Hour, middle)
	all := []string{"Cert", "Key", "CA", "CAChain"}
	keyed := []string{"Cert", "Key"}
	encrypted := string(pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte("text")}))

	tests := []struct {
		name   string
		text   string
		fields []string
		want   *issued
		key    string
		chain  []string
		why    string
	}{
		{"two certificates with two CAs", a.text + a.key + middle.text + root.text + b.text + b.key + other.text, all, a, a.key, []string{middle.text, root.text}, ""},
		{"all keys first", b.key + a.key + b.text + a.text, keyed, a, a.key, nil, ""},
		{"an older one last", a.text + a.key + old.text + old.key, keyed, a, a.key, nil, ""},
		{"an encrypted key", a.text + b.key + encrypted, keyed, a, encrypted, nil, ""},
		{"an encrypted key before its own", a.text + encrypted + a.key, keyed, a, a.key, nil, ""},
		{"an encrypted key after its own", a.text + a.key + encrypted, keyed, a, a.key, nil, ""},
		{"a CA that has not signed it", other.text + a.text + root.text + middle.text, []string{"Cert", "CA"}, a, "", []string{root.text, middle.text}, ""},
		{"a key of another one, which nobody uses", a.text + b.key, []string{"Cert"}, a, "", nil, ""},

		{"nothing", "text", keyed, nil, "", nil, ""},
		{"a CA alone", root.text + root.key, keyed, nil, "", nil, ""},
		{"no key", a.text, keyed, nil, "", nil, "there is no private key"},
		{"another key", a.text + b.key, keyed, nil, "", nil, "no private key there fits"},
		{"no CA", a.text + a.key, all, nil, "", nil, "there is no certificate of its CA"},
		{"another CA", a.text + a.key + root.text, keyed, nil, "", nil, "no CA there has signed it"},
		{"other names", b.text + b.key, keyed, nil, "", nil, "its names differ from those in the template"},
		{"too old", old.text + old.key, keyed, nil, "", nil, "it was due for renewal at "},
		{"two that cannot be used", old.text + old.key + a.text, keyed, nil, "", nil, "no private key there fits"},
	}
	for _, test := range tests {
		got, why := Scan([]byte(test.text)).Find(map[string]string{"common_name": "a.test"}, test.fields, 0.9)
		if test.want == nil {
			if got.Leaf != nil || !strings.HasPrefix(why, test.why) || (why == "") != (test.why == "") {
				t.Errorf("%s: got %v, %q", test.name, got.Leaf, why)
			}
			continue
		}
		if why != "" || got.Value.Cert != test.want.text || got.Value.Key != test.key || !slices.Equal(got.Value.CAChain, test.chain) {
			t.Errorf("%s: got %q, %+v", test.name, why, got.Value)
		}
	}
}

// What many files have is kept once.
func TestCopies(t *testing.T) {
	ca := issue(t, authority("the CA"), time.Hour, nil)
	a, b := issue(t, named("a.test"), time.Hour, ca), issue(t, named("b.test"), time.Hour, ca)
	one := a.text + a.key + ca.text + b.text + b.key
	got := Scan([]byte(strings.Repeat(one, 3) + inJSON(one) + a.key + a.text))
	if len(got.leaves) != 2 || len(got.keys) != 2 || len(got.cas) != 1 || got.Value.Cert != a.text || got.Value.Key != a.key {
		t.Errorf("%d certificates, %d keys, %d CAs, the last are\n%s%s", len(got.leaves), len(got.keys), len(got.cas), got.Value.Cert, got.Value.Key)
	}
}

// Any text can be scanned, and a certificate is found after it.
func FuzzScan(f *testing.F) {
	made := issue(f, named("a.test"), time.Hour, nil)
	for _, form := range forms {
		f.Add(form.of(made.text + made.key))
	}
	f.Add("-----BEGIN PRIVATE KEY----------END PRIVATE KEY-----")
	f.Add("-----BEGIN \n-----x: PRIVATE KEY-----AAAA-----END \n-----x: PRIVATE KEY-----")
	f.Fuzz(func(t *testing.T, text string) {
		before := Scan([]byte(text))
		before.Find(map[string]string{"common_name": "a.test"}, nil, 0.9)
		got := Scan([]byte(text + "\n" + made.text))
		if got.Leaf == nil || got.Value.Cert != made.text {
			t.Errorf("got %+v", got.Value)
		}
	})
}

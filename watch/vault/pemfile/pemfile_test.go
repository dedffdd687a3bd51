package pemfile

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"testing"
	"time"
)

// Names of every form are compared as they are asked for.
func TestNames(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: "a.test"}, DNSNames: []string{"a.test"}, IPAddresses: []net.IP{net.ParseIP("::1")},
		SerialNumber: big.NewInt(1), NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	c := Scan(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
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
		if got := c.Fits(test.pairs, []string{"Cert"}); got != test.want {
			t.Errorf("%v: got %t", test.pairs, got)
		}
	}
}

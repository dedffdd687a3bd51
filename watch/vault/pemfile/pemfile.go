// Package pemfile finds a certificate, its key and its CAs in a text, and says whether they are what is wanted.
package pemfile

import (
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"render/watch"
)

const maxSize = 16 << 20 // bytes of a file in which a certificate is looked for

// A Content is what a text has of a certificate.
type Content struct {
	Value watch.PKICert     // what of it a template gets
	Leaf  *x509.Certificate // that of Value.Cert; nil where there is none that is no CA's
	cas   []*x509.Certificate
}

// Read returns what a file has, and whether a certificate that is no CA's is in it.
func Read(path string) (Content, bool) {
	if path == "" {
		return Content{}, false
	}
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() || info.Size() > maxSize {
		return Content{}, false
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return Content{}, false
	}
	c := Scan(text)
	return c, c.Leaf != nil
}

// Scan collects keys and certificates that stand anywhere in a text; of several the last. What is no certificate, or a broken one, is
// passed over.
func Scan(text []byte) (c Content) {
	known := make(map[[sha256.Size]byte]bool)
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return c
		}
		encoded := string(pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: block.Bytes}))
		switch {
		case strings.HasSuffix(block.Type, "PRIVATE KEY"):
			c.Value.Key = encoded
			continue
		case block.Type != "CERTIFICATE":
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		switch {
		case err != nil:
		case !cert.IsCA:
			c.Leaf, c.Value.Cert = cert, encoded
		case !known[sha256.Sum256(cert.Raw)]:
			known[sha256.Sum256(cert.Raw)] = true
			c.cas = append(c.cas, cert)
			c.Value.CAChain = append(c.Value.CAChain, encoded)
			c.Value.CA = c.Value.CAChain[0]
		}
	}
}

// Due returns when there is to be another certificate.
func (c Content) Due(threshold float64) time.Time {
	life := c.Leaf.NotAfter.Sub(c.Leaf.NotBefore)
	return c.Leaf.NotBefore.Add(time.Duration(float64(life) * threshold))
}

// Fits reports whether a certificate that was issued before has the fields that are used, and is for the names that pairs ask for.
func (c Content) Fits(pairs map[string]string, fields []string) bool {
	if len(fields) == 0 {
		fields = []string{"Cert", "Key"}
	}
	for _, field := range fields {
		if field == "Key" && c.Value.Key == "" || field == "CA" && c.Value.CA == "" || field == "CAChain" && len(c.Value.CAChain) == 0 {
			return false
		}
	}
	if c.Value.Key != "" && !c.KeyFits() {
		return false
	}
	if len(c.cas) > 0 && !slices.ContainsFunc(c.cas, func(ca *x509.Certificate) bool { return c.Leaf.CheckSignatureFrom(ca) == nil }) {
		return false
	}
	if _, signs := pairs["csr"]; signs {
		return true // its names are those of the request
	}
	return c.hasNames(pairs)
}

// KeyFits reports whether the key is that of the certificate.
func (c Content) KeyFits() bool {
	block, _ := pem.Decode([]byte(c.Value.Key))
	key, err := parseKey(block.Bytes)
	if err != nil {
		return strings.Contains(block.Type, "ENCRYPTED")
	}
	public, ok := c.Leaf.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
	return !ok || public.Equal(key.Public())
}

func parseKey(der []byte) (crypto.Signer, error) {
	if key, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return key, nil
	}
	if key, err := x509.ParseECPrivateKey(der); err == nil {
		return key, nil
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, err
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, errors.New("the key cannot sign")
	}
	return signer, nil
}

// hasNames reports whether the certificate is for the names that pairs ask for, and for no others.
func (c Content) hasNames(pairs map[string]string) bool {
	name := pairs["common_name"]
	if name != "" && !strings.EqualFold(c.Leaf.Subject.CommonName, name) {
		return false
	}
	asked := map[string]bool{}
	for _, alt := range list(pairs["alt_names"]) {
		asked[strings.ToLower(alt)] = true
	}
	for _, ip := range list(pairs["ip_sans"]) {
		if parsed := net.ParseIP(ip); parsed != nil {
			ip = parsed.String()
		}
		asked[ip] = true
	}
	for _, uri := range list(pairs["uri_sans"]) {
		asked[uri] = true
	}

	has := map[string]bool{}
	for _, san := range slices.Concat(c.Leaf.DNSNames, c.Leaf.EmailAddresses) {
		has[strings.ToLower(san)] = true
	}
	for _, ip := range c.Leaf.IPAddresses {
		has[ip.String()] = true
	}
	for _, uri := range c.Leaf.URIs {
		has[uri.String()] = true
	}
	for san := range asked {
		if !has[san] {
			return false
		}
	}
	for san := range has {
		if !asked[san] && san != strings.ToLower(c.Leaf.Subject.CommonName) {
			return false
		}
	}
	return true
}

// list returns the elements of a list with commas.
func list(text string) (all []string) {
	for element := range strings.SplitSeq(text, ",") {
		if element = strings.TrimSpace(element); element != "" {
			all = append(all, element)
		}
	}
	return all
}

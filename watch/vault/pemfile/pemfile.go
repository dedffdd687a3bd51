// Package pemfile finds a certificate, its key and its CAs in a text, and says whether they are what is wanted.
package pemfile

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"iter"
	"net"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"render/watch"
)

const maxSize = 16 << 20 // bytes of a file in which a certificate is looked for

// A Content is what a text has of certificates.
type Content struct {
	Value watch.PKICert     // what of it a template gets
	Leaf  *x509.Certificate // that of Value.Cert; nil where all are those of CAs

	leaves []part // certificates that are no CA's
	cas    []part
	keys   []string
}

// A part is a certificate, and its PEM text.
type part struct {
	cert *x509.Certificate
	text string
}

// Read returns what files have together. A file that cannot be read has nothing.
func Read(paths ...string) Content {
	var all []byte
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil || !info.Mode().IsRegular() || info.Size() > maxSize {
			continue
		}
		if text, err := os.ReadFile(path); err == nil {
			all = append(append(all, text...), '\n')
		}
	}
	return Scan(all)
}

// Scan collects keys and certificates that stand anywhere in a text, also after other text on their line, indented, or within a
// text in quotes that has \n in place of the ends of lines. Of several certificates and keys, Value has the last. Copies count once. What
// is no certificate, or a broken one, is passed over.
func Scan(text []byte) (c Content) {
	known := make(map[[sha256.Size]byte]bool)
	for block := range blocks(string(text)) {
		encoded := string(pem.EncodeToMemory(block))
		sum := sha256.Sum256([]byte(encoded))
		isNew := !known[sum]
		known[sum] = true
		switch {
		case strings.HasSuffix(block.Type, "PRIVATE KEY"):
			if c.Value.Key = encoded; isNew {
				c.keys = append(c.keys, encoded)
			}
			continue
		case block.Type != "CERTIFICATE":
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			continue
		}
		found := part{cert, encoded}
		switch {
		case !cert.IsCA:
			if c.Leaf, c.Value.Cert = cert, encoded; isNew {
				c.leaves = append(c.leaves, found)
			}
		case isNew:
			c.addCA(found)
		}
	}
	return c
}

func (c *Content) addCA(ca part) {
	c.cas = append(c.cas, ca)
	c.Value.CAChain = append(c.Value.CAChain, ca.text)
	c.Value.CA = c.Value.CAChain[0]
}

// blocks yields the PEM blocks of a text, without the headers that blocks can have: one with headers is left out.
func blocks(text string) iter.Seq[*pem.Block] {
	const dashes = "-----"
	return func(yield func(*pem.Block) bool) {
		for {
			_, after, found := strings.Cut(text, dashes+"BEGIN ")
			if !found {
				return
			}
			text = after
			kind, after, _ := strings.Cut(text, dashes)
			body, after, _ := strings.Cut(after, dashes)
			after, found = strings.CutPrefix(after, "END "+kind+dashes)
			if !found {
				continue // a block may begin within this one
			}
			text = after
			der, err := base64.StdEncoding.DecodeString(unquoted(body))
			if err == nil && kinds.MatchString(kind) && !yield(&pem.Block{Type: kind, Bytes: der}) {
				return
			}
		}
	}
}

var kinds = regexp.MustCompile(`^[A-Z0-9 ]+$`)

// escapes are those of JSON, YAML, TOML and JavaScript, also of a text that was put in quotes twice.
var escapes = regexp.MustCompile(`\\+(?:u[0-9A-Fa-f]{4}|[nrt/\s])`)

// unquoted returns base64 without whitespace and without escapes.
func unquoted(body string) string {
	if strings.Contains(body, `\`) {
		body = escapes.ReplaceAllStringFunc(body, func(escape string) string {
			switch char := strings.TrimLeft(escape, `\`); char[0] {
			case 'u':
				code, _ := strconv.ParseUint(char[1:], 16, 16)
				return string(rune(code))
			case '/':
				return char
			}
			return ""
		})
	}
	return strings.Join(strings.Fields(body), "")
}

// IsEmpty reports whether a text has neither a certificate nor a key.
func (c Content) IsEmpty() bool { return len(c.leaves)+len(c.cas)+len(c.keys) == 0 }

// Due returns when there is to be another certificate.
func (c Content) Due(threshold float64) time.Time {
	life := c.Leaf.NotAfter.Sub(c.Leaf.NotBefore)
	return c.Leaf.NotBefore.Add(time.Duration(float64(life) * threshold))
}

// Find returns the newest certificate that has the fields that are used, is for the names that pairs ask for, and is not due at a
// threshold, with its key and with those CAs that it hangs on. Without one, the Leaf is nil, and why says what is wrong with the newest; it
// is empty where there is none at all.
func (c Content) Find(pairs map[string]string, fields []string, threshold float64) (found Content, why string) {
	leaves := slices.Clone(c.leaves)
	slices.Reverse(leaves)
	slices.SortStableFunc(leaves, func(a, b part) int { return b.cert.NotBefore.Compare(a.cert.NotBefore) })
	for _, leaf := range leaves {
		found, wrong := c.only(leaf, pairs, fields, threshold)
		if wrong == "" {
			return found, ""
		}
		if why == "" {
			why = wrong
		}
	}
	return Content{}, why
}

// only returns a certificate with what belongs to it, and why it is not the one that is wanted.
func (c Content) only(leaf part, pairs map[string]string, fields []string, threshold float64) (one Content, why string) {
	one = Content{Leaf: leaf.cert, Value: watch.PKICert{Cert: leaf.text}}
	if _, signs := pairs["csr"]; !signs && !one.hasNames(pairs) { // those of a request are not known
		return one, "its names differ from those in the template"
	}
	if due := one.Due(threshold); !time.Now().Before(due) {
		return one, "it was due for renewal at " + due.UTC().Format(time.RFC3339)
	}

	for _, key := range c.keys {
		other := one
		if other.Value.Key = key; other.KeyFits() && (!isEncrypted(key) || isEncrypted(one.Value.Key) || one.Value.Key == "") {
			one.Value.Key = key
		}
	}
	c.addCAs(&one)
	switch {
	case one.Value.Key == "" && slices.Contains(fields, "Key") && len(c.keys) > 0:
		return one, "no private key there fits"
	case one.Value.Key == "" && slices.Contains(fields, "Key"):
		return one, "there is no private key"
	case len(c.cas) > 0 && len(one.cas) == 0:
		return one, "no CA there has signed it"
	case len(one.cas) == 0 && (slices.Contains(fields, "CA") || slices.Contains(fields, "CAChain")):
		return one, "there is no certificate of its CA"
	}
	return one, ""
}

// addCAs adds the CAs that the certificate of one hangs on.
func (c Content) addCAs(one *Content) {
	above := map[*x509.Certificate]bool{one.Leaf: true}
	for again := true; again; {
		again = false
		for _, ca := range c.cas {
			if !above[ca.cert] && signedOne(ca.cert, above) {
				above[ca.cert], again = true, true
			}
		}
	}
	for _, ca := range c.cas {
		if above[ca.cert] {
			one.addCA(ca)
		}
	}
}

// signedOne reports whether a CA has signed one of certificates.
func signedOne(ca *x509.Certificate, certs map[*x509.Certificate]bool) bool {
	for cert := range certs {
		if bytes.Equal(cert.RawIssuer, ca.RawSubject) && cert.CheckSignatureFrom(ca) == nil {
			return true
		}
	}
	return false
}

// isEncrypted reports whether nobody can tell which certificate a key is for.
func isEncrypted(key string) bool { return strings.HasPrefix(key, "-----BEGIN ENCRYPTED ") }

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

// hasNames reports whether the certificate is for the names of the pairs alone.
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

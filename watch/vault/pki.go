package vault

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"render/watch"
)

const maxDestination = 16 << 20 // bytes of a file in which a certificate is looked for

// filed returns the certificate of the destination as the first answer to a query. Nothing is asked for it: neither Vault nor a token.
func (s *Source) filed(q watch.Query) (answered, bool) {
	if q.Kind != watch.KindPKICert || s.certified(q) { // then the file has an older one
		return answered{}, false
	}
	opts := q.Options()
	found, ok := inDestination(opts.Get(watch.OptDestination))
	if !ok || !found.fits(q.Pairs(), opts[watch.OptField]) {
		return answered{}, false
	}
	next := found.due(s.cfg.Threshold)
	if !time.Now().Before(next) {
		return answered{}, false
	}
	return answered{value: found.value.Until(found.leaf.NotAfter), clock: clock{next: next, expires: found.leaf.NotAfter}, filed: found.leaf}, true
}

// certificate has Vault issue a certificate.
func (s *Source) certificate(ctx context.Context, q watch.Query, t usedToken) (answered, error) {
	if s.cfg.ReadOnly {
		return answered{}, errReadOnly
	}
	pairs := q.Pairs()
	r := request{method: http.MethodPut, path: q.Name, token: t.token, wrapped: true, body: pairs, hidden: slices.Collect(maps.Values(pairs))}
	got, err := s.client.do(ctx, r)
	if err != nil {
		return answered{}, err
	}
	if got.isMissing() {
		return answered{}, fmt.Errorf("vault has nothing at %s that issues certificates", q.Name)
	}
	if len(got.body.Warnings) > 0 {
		s.warn(q, got.body.Warnings)
	}
	issued := scan(textsOf(got.body.Data))
	if issued.leaf == nil {
		return answered{}, errors.New("the answer has no certificate that is not a CA's")
	}
	now, leaf := time.Now(), issued.leaf
	if !now.Before(leaf.NotAfter) {
		return answered{}, fmt.Errorf("vault has issued a certificate that has expired at %s; are the clocks right?", leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	next := issued.due(s.cfg.Threshold)
	if !now.Before(next) { // a short life, or an early begin
		next = now.Add(leaf.NotAfter.Sub(now) * 2 / 3)
	}
	return answered{value: issued.value.Until(leaf.NotAfter), clock: clock{next: next, expires: leaf.NotAfter}}, nil
}

// certified reports whether there is an answer already.
func (s *Source) certified(q watch.Query) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entries[q]
	return e != nil && e.state.index != 0
}

// A found is what was found of a certificate in some text.
type found struct {
	value watch.PKICert
	leaf  *x509.Certificate
	cas   []*x509.Certificate
}

// inDestination returns the certificate that a file has.
func inDestination(path string) (found, bool) {
	if path == "" {
		return found{}, false
	}
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() || info.Size() > maxDestination {
		return found{}, false
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return found{}, false
	}
	f := scan(text)
	return f, f.leaf != nil
}

// textsOf returns all texts of an answer's data, and those of its chain.
func textsOf(data map[string]any) []byte {
	var b bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(data)) {
		switch value := data[name].(type) {
		case string:
			b.WriteString(value + "\n")
		case []any:
			for _, element := range value {
				if text, ok := element.(string); ok {
					b.WriteString(text + "\n")
				}
			}
		}
	}
	return b.Bytes()
}

// scan collects keys and certificates that stand anywhere in a text; of several the last. What is no certificate, or a broken one, is
// passed over.
func scan(text []byte) (f found) {
	known := make(map[[sha256.Size]byte]bool)
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return f
		}
		encoded := string(pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: block.Bytes}))
		switch {
		case strings.HasSuffix(block.Type, "PRIVATE KEY"):
			f.value.Key = encoded
			continue
		case block.Type != "CERTIFICATE":
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		switch {
		case err != nil:
		case !cert.IsCA:
			f.leaf, f.value.Cert = cert, encoded
		case !known[sha256.Sum256(cert.Raw)]:
			known[sha256.Sum256(cert.Raw)] = true
			f.cas = append(f.cas, cert)
			f.value.CAChain = append(f.value.CAChain, encoded)
			f.value.CA = f.value.CAChain[0]
		}
	}
}

// due returns when there is to be another certificate.
func (f found) due(threshold float64) time.Time {
	life := f.leaf.NotAfter.Sub(f.leaf.NotBefore)
	return f.leaf.NotBefore.Add(time.Duration(float64(life) * threshold))
}

// fits reports whether a certificate that was issued before has the fields that are used, and is for the names that pairs ask for.
func (f found) fits(pairs map[string]string, fields []string) bool {
	if len(fields) == 0 {
		fields = []string{"Cert", "Key"}
	}
	for _, field := range fields {
		if field == "Key" && f.value.Key == "" || field == "CA" && f.value.CA == "" || field == "CAChain" && len(f.value.CAChain) == 0 {
			return false
		}
	}
	if f.value.Key != "" && !f.keyFits() {
		return false
	}
	if len(f.cas) > 0 && !slices.ContainsFunc(f.cas, func(ca *x509.Certificate) bool { return f.leaf.CheckSignatureFrom(ca) == nil }) {
		return false
	}
	if _, signs := pairs["csr"]; signs {
		return true // its names are those of the request
	}
	return f.hasNames(pairs)
}

// keyFits reports whether the key is that of the certificate.
func (f found) keyFits() bool {
	block, _ := pem.Decode([]byte(f.value.Key))
	key, err := parseKey(block.Bytes)
	if err != nil {
		return strings.Contains(block.Type, "ENCRYPTED")
	}
	public, ok := f.leaf.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
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
func (f found) hasNames(pairs map[string]string) bool {
	name := pairs["common_name"]
	if name != "" && !strings.EqualFold(f.leaf.Subject.CommonName, name) {
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
	for _, san := range slices.Concat(f.leaf.DNSNames, f.leaf.EmailAddresses) {
		has[strings.ToLower(san)] = true
	}
	for _, ip := range f.leaf.IPAddresses {
		has[ip.String()] = true
	}
	for _, uri := range f.leaf.URIs {
		has[uri.String()] = true
	}
	for san := range asked {
		if !has[san] {
			return false
		}
	}
	for san := range has {
		if !asked[san] && san != strings.ToLower(f.leaf.Subject.CommonName) {
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

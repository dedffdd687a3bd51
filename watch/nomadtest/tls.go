package nomadtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// Files are the certificates that a client of an agent with TLS needs. Their names are localhost and 127.0.0.1.
type Files struct{ CA, Cert, Key string }

// secure makes an authority with certificates of a server in a region and of a client, as files in a folder. It returns the setting of the
// agent and the client.
func secure(dir, region string) (setting string, files Files, client *http.Client, err error) {
	file := func(name string) string { return filepath.Join(dir, name) }
	files = Files{CA: file("ca.pem"), Cert: file("client.pem"), Key: file("client.key")}
	authority, err := newPair("authority", nil, file("ca.pem"), file("ca.key"))
	if err != nil {
		return "", files, nil, err
	}
	if _, err := newPair("server."+region+".nomad", authority, file("server.pem"), file("server.key")); err != nil {
		return "", files, nil, err
	}
	own, err := newPair("client", authority, files.Cert, files.Key)
	if err != nil {
		return "", files, nil, err
	}

	known := x509.NewCertPool()
	known.AddCert(authority.Leaf)
	client = &http.Client{Timeout: timeout, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: known, Certificates: []tls.Certificate{*own}}}}
	return fmt.Sprintf(`
		region = %q
		tls {
			http                   = true
			rpc                    = true
			ca_file                = %q
			cert_file              = %q
			key_file               = %q
			verify_server_hostname = true
			verify_https_client    = true
		}
	`, region, files.CA, file("server.pem"), file("server.key")), files, client, nil
}

// newPair makes a certificate and its key, and writes both to files. Without an issuer it is one itself.
func newPair(name string, issuer *tls.Certificate, certFile, keyFile string) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		DNSNames: []string{name, "localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	parent, parentKey := template, any(key)
	if issuer != nil {
		parent, parentKey = issuer.Leaf, issuer.PrivateKey
	} else {
		template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), parentKey)
	if err != nil {
		return nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
	if err := os.WriteFile(certFile, certPEM, 0o600); err != nil {
		return nil, err
	}
	if err := os.WriteFile(keyFile, keyPEM, 0o600); err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	return &pair, err
}

package consultest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// TLS is where an agent speaks HTTPS, and what its clients need.
type TLS struct {
	Addr string // host:port
	CA   string // path of the certificate of the authority, as PEM

	Cert, Key string // paths of what a client shows where the agent demands a certificate (DemandCertificate), as PEM
}

// DemandCertificate is the configuration of an agent that serves HTTPS only to those who show a certificate.
const DemandCertificate = "tls { https { verify_incoming = true } }"

// StartTLS is Start for an agent that speaks HTTPS beside HTTP. Certificates are made for it in a folder.
func StartTLS(ctx context.Context, dir, config string) (*Agent, *TLS, error) {
	t, err := NewCertificates(dir)
	if err != nil {
		return nil, nil, fmt.Errorf("make certificates: %w", err)
	}
	mode := []string{"-dev", fmt.Sprintf("-hcl=tls { https { ca_file = %q, cert_file = %q, key_file = %q } }", t.CA, t.Cert, t.Key)}
	a, err := start(ctx, settings{mode: mode, hcl: config, https: true})
	if err != nil {
		return nil, nil, err
	}
	t.Addr = loopback(a.https)
	return a, t, nil
}

// NewCertificates makes an authority in a folder, and a certificate for both ends of a connection on loopback. TLS.Addr is empty.
func NewCertificates(dir string) (*TLS, error) {
	authority := template(1, "authority of a test")
	authority.IsCA, authority.BasicConstraintsValid = true, true
	authority.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature
	authorityKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	end := template(2, "localhost")
	end.DNSNames, end.IPAddresses = []string{"localhost"}, []net.IP{net.IPv4(127, 0, 0, 1)}
	end.KeyUsage = x509.KeyUsageDigitalSignature
	end.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	endKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	key, err := x509.MarshalPKCS8PrivateKey(endKey)
	if err != nil {
		return nil, err
	}
	t := &TLS{CA: filepath.Join(dir, "ca.pem"), Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	if err := sign(t.CA, authority, &authorityKey.PublicKey, authority, authorityKey); err != nil {
		return nil, err
	}
	if err := sign(t.Cert, end, &endKey.PublicKey, authority, authorityKey); err != nil {
		return nil, err
	}
	return t, writePEM(t.Key, "PRIVATE KEY", key)
}

func template(serial int64, name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(serial),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
	}
}

func sign(path string, cert *x509.Certificate, key *ecdsa.PublicKey, by *x509.Certificate, with *ecdsa.PrivateKey) error {
	der, err := x509.CreateCertificate(rand.Reader, cert, by, key, with)
	if err != nil {
		return err
	}
	return writePEM(path, "CERTIFICATE", der)
}

func writePEM(path, kind string, der []byte) error {
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
}

package web

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"render/watch/hint"
)

// Settings say where a [Server] listens, and who may ask it. The zero value listens nowhere.
type Settings struct {
	Addresses []string    // each host:port, or unix:///path
	Mode      fs.FileMode // of unix sockets
	Cert, Key string      // PEM files for TLS; empty for plain HTTP. Not for unix sockets
	TokenFile string      // a file with a token that each request has to have; empty for none. Not for unix sockets
	Hosts     []string    // names besides IP addresses and localhost that requests may name
	Insecure  bool        // an address beyond loopback needs neither TLS nor a token
}

// Validate returns what is wrong with the settings, or nil.
func (s Settings) Validate() error {
	var errs []error
	if (s.Cert == "") != (s.Key == "") {
		errs = append(errs, hint.With(errors.New("TLS needs a certificate and its key"), "set both cert and key"))
	}
	for _, name := range s.Hosts {
		if !isHostName(name) {
			errs = append(errs, hint.With(fmt.Errorf("%q is not a host name", name), "write the name as browsers send it, without a port, such as render.example"))
		}
	}
	for _, text := range s.Addresses {
		a, err := parseAddress(text)
		switch {
		case err != nil:
			errs = append(errs, err)
		case !a.isLocal() && !s.Insecure && (s.Cert == "" || s.TokenFile == ""):
			errs = append(errs, hint.With(fmt.Errorf("%s: other machines can connect to this address", text), "set cert, key and token_file, or use 127.0.0.1, or set insecure"))
		}
	}
	return errors.Join(errs...)
}

// isHostName reports whether a Host header can have a name: of letters, digits, dots, dashes and underscores.
func isHostName(name string) bool {
	return name != "" && len(name) < 256 && !strings.ContainsFunc(name, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '-' || r == '_')
	}) && strings.Trim(name, ".") != ""
}

// equal reports whether other settings are the same.
func (s Settings) equal(other Settings) bool {
	return slices.Equal(s.Addresses, other.Addresses) && slices.Equal(s.Hosts, other.Hosts) && s.Mode == other.Mode &&
		s.Cert == other.Cert && s.Key == other.Key && s.TokenFile == other.TokenFile && s.Insecure == other.Insecure
}

// An address is where a server listens.
type address struct {
	socket string // a path; empty for TCP
	host   string
	port   string
}

// parseAddress reads host:port, or unix:///path.
func parseAddress(text string) (address, error) {
	if path, ok := strings.CutPrefix(text, "unix://"); ok {
		if !filepath.IsAbs(path) {
			return address{}, hint.With(fmt.Errorf("%q needs a path that begins with a slash", text), "write an address such as unix:///run/render/render.sock")
		}
		return address{socket: filepath.Clean(path)}, nil
	}
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		return address{}, hint.With(fmt.Errorf("%q is not an address", text), "write an address such as 127.0.0.1:9820 or unix:///run/render/render.sock")
	}
	n, err := strconv.Atoi(port)
	if err != nil || n < 0 || n > 65535 {
		return address{}, fmt.Errorf("%q: the port is not a number from 0 to 65535", text)
	}
	return address{host: host, port: strconv.Itoa(n)}, nil
}

func (a address) String() string {
	if a.socket != "" {
		return "unix://" + a.socket
	}
	return net.JoinHostPort(a.host, a.port)
}

// key returns the address in the one form that all its forms have: two addresses with one key are the same place.
func (a address) key() string {
	if a.socket != "" {
		if folder, err := filepath.EvalSymlinks(filepath.Dir(a.socket)); err == nil {
			return "unix://" + filepath.Join(folder, filepath.Base(a.socket))
		}
		return a.String()
	}
	host := strings.ToLower(a.host)
	if host == "localhost" {
		host = "127.0.0.1" // where the system listens for it
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		if host = ip.Unmap().String(); ip.Unmap().IsUnspecified() {
			host = "" // the system listens at all addresses of both kinds
		}
	}
	return net.JoinHostPort(host, a.port)
}

// isLocal reports whether only this machine can connect.
func (a address) isLocal() bool {
	ip := net.ParseIP(a.host)
	return a.socket != "" || a.host == "localhost" || ip != nil && ip.IsLoopback()
}

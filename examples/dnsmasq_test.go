package examples

import (
	"net/netip"
	"regexp"
	"strings"
	"testing"
)

var hostsLine = regexp.MustCompile(`^(?:|# .*|([0-9a-f.:]+) [A-Za-z0-9-]+(?:\.node)?\.service\.internal)$`)

// Whatever is registered, each line has an IP address and a name of DNS.
func TestHostsOfDNS(t *testing.T) {
	for name, catalog := range catalogs(t, "dnsmasq") {
		hosts, err := renderExample(t, "dnsmasq/services.hosts.ctmpl", catalog)
		if err != nil {
			t.Fatal(err)
		}
		checkLines(t, hosts, hostsLine)
		for line := range strings.SplitSeq(string(hosts), "\n") {
			if m := hostsLine.FindStringSubmatch(line); m != nil && m[1] != "" {
				if _, err := netip.ParseAddr(m[1]); err != nil {
					t.Errorf("%s: %q: %v", name, line, err)
				}
			}
		}
		if name == "hostile" && !strings.Contains(string(hosts), "\n10.0.0.1 web.service.internal\n") {
			t.Error("the good instance of web is gone")
		}
	}
}

func TestDnsmasqAccepts(t *testing.T) {
	run(t, find(t, "dnsmasq", "dnsmasq"), "--test", "--conf-file=dnsmasq/services.conf")
}

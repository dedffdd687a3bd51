package main

import (
	"crypto/tls"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"render/watch/vaulttest"
)

// A certificate is kept over a start in whatever form the template writes it, and wherever it writes the key, as long as the text names that
// file. Its parts may also be in files of several templates. One that cannot be kept is logged, with the reason.
func TestVaultCertificatesAreKept(t *testing.T) {
	t.Parallel()
	server := vaulttest.Start(t)
	server.Put(t, "sys/mounts/pki", map[string]any{"type": "pki"})
	server.Put(t, "pki/root/generate/internal", map[string]any{"common_name": "root", "ttl": "24h", "key_type": "ec"})
	server.Put(t, "pki/roles/web", map[string]any{"allow_any_name": true, "key_type": "ec", "key_bits": 256, "max_ttl": "1h"})
	dir := t.TempDir()
	texts := map[string]string{
		"comment": "# {{.Cert}}{{.Key}}",
		"yaml":    "tls.crt: |\n{{.Cert | indent 2}}\ntls.key: |\n{{.Key | indent 2}}",
		"json":    "{\"cert\": {{.Cert | toJSON}}, \"key\": {{.Key | toJSON}}, \"ca\": {{.CAChain | toJSON}}}",
		"written": "{{.Cert}}{{.CA}}{{.Key | writeToFile \"" + filepath.Join(dir, "written.key") + "\" \"\" \"\" \"0600\"}}",
		"made":    "{{.Cert}}{{.Key | writeToFile (print \"" + filepath.Join(dir, "made") + "\" \".key\") \"\" \"\" \"0600\"}}",
	}
	args := []string{"--once", "--perms", "0600", "--vault-addr", server.Addr, "--vault-token", server.Token}
	for name, text := range texts {
		write(t, filepath.Join(dir, name+".ctmpl"), fmt.Sprintf("{{with pkiCert \"pki/issue/web\" \"common_name=%s.test\"}}%s{{end}}", name, text))
		args = append(args, "--template", name+".ctmpl:"+name+".out")
	}
	for field, file := range map[string]string{"Cert": "parts.pem", "Key": "parts.key", "CA": "parts.ca"} { // of one certificate
		write(t, filepath.Join(dir, field+".ctmpl"), fmt.Sprintf("{{with pkiCert \"pki/issue/web\" \"common_name=parts.test\"}}{{.%s}}{{end}}", field))
		args = append(args, "--template", field+".ctmpl:"+file)
	}
	before := len(listed(t, server, "pki/certs"))

	files := make(map[string]string)
	for start := range 3 {
		cmd := exec.Command("render", args...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		check(t, err)
		said := string(out)
		if n := len(listed(t, server, "pki/certs")) - before; n != len(texts)+1+start {
			t.Errorf("start %d: issued %d certificates, want %d\n%s", start, n, len(texts)+1+start, said)
		}
		if _, err := tls.LoadX509KeyPair(filepath.Join(dir, "parts.pem"), filepath.Join(dir, "parts.key")); err != nil {
			t.Errorf("start %d: %v", start, err)
		}
		const line = `msg="certificate of a file is not used"`
		if n := strings.Count(said, line); n != min(start, 1) {
			t.Errorf("start %d: logged %d times\n%s", start, n, said)
		}
		if want := line + " files=" + filepath.Join(dir, "made.out") + ` reason="there is no private key"`; start > 0 && !strings.Contains(said, want) {
			t.Errorf("start %d: %s", start, said)
		}
		for _, name := range append(slices.Collect(maps.Keys(texts)), "parts") {
			for _, path := range []string{name + ".out", name + ".key", name + ".pem", name + ".ca"} {
				now, err := os.ReadFile(filepath.Join(dir, path))
				if err == nil && name != "made" && start > 0 && files[path] != string(now) {
					t.Errorf("start %d: %s is another one", start, path)
				}
				files[path] = string(now)
			}
		}
	}
}

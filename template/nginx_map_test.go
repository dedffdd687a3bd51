package template_test

import (
	"fmt"
	"strings"
	"testing"
)

// In a map block of the real nginx the key is the text, whatever nginx takes such words for.
func TestNginxMapKey(t *testing.T) {
	t.Parallel()
	keys := []string{
		"include", "default", "hostnames", "volatile", "~x", "~*x", "~^(", `\~x`, `\`, `\\`, `\default`, "a b", `"`, `'`, `"quoted"`, "'", ";", "{", "}", "; }", "#", "a # b",
		"*.example.com", ".example.com", "www.example.*", "", " ", "\t", "\n", "\r\n", "é", "é;", "web-1", "UPPER", "-x", "/etc/passwd", "include /etc/passwd;",
	}
	var maps strings.Builder
	var want []string
	texts := "x"
	for i, key := range keys {
		token, err := quote(t, "nginxMapKey", key)
		if err != nil {
			t.Fatalf("%q: %v", key, err)
		}
		source, err := quote(t, "nginxQuote", key)
		if err != nil {
			t.Fatalf("%q: %v", key, err)
		}
		fmt.Fprintf(&maps, "\tmap %s $r%d { default absent; %s found%d; }\n", source, i, token, i)
		texts += fmt.Sprintf(" $r%d", i)
		want = append(want, fmt.Sprintf("found%d", i))
	}
	for i, key := range []string{"$", "$uri", "${uri}", "a$b", "~$uri", "$nosuchvariable"} { // nginx has no way to write these as a source
		token, err := quote(t, "nginxMapKey", key)
		if err != nil {
			t.Fatalf("%q: %v", key, err)
		}
		fmt.Fprintf(&maps, "\tmap $uri $s%d { default absent; %s found; /0 \"\"; }\n", i, token)
	}
	nginxReadsBack(t, maps.String(), `"`+texts+`"`, []string{"x " + strings.Join(want, " ")})

	for _, key := range []string{"a\x00b", strings.Repeat("x", 5000)} {
		if _, err := quote(t, "nginxMapKey", key); err == nil {
			t.Errorf("%.10q is a key", key)
		}
	}
}

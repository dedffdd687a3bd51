package template_test

import (
	"slices"
	"strings"
	"testing"

	"render/template"
)

// inside are the functions of our own, beside those of queries, that an untrusted template may call. A new function belongs here, or
// among those that Options.Untrusted denies.
const inside = `base64Decode base64Encode base64URLDecode base64URLEncode byKey byMeta byPort byTag contains containsAll containsAny containsNone
	containsNotAll divide executeTemplate explode explodeMap fail groupBy haproxyQuote hmacSHA256Hex hostport in indent join jsonQuote loop
	maximum md5sum mergeMap mergeMapWithOverride minimum modulo multiply nginxMapKey nginxQuote parseBool parseFloat parseInt parseJSON parseUint parseYAML
	regexMatch regexReplaceAll replaceAll scratch sha256Hex shellQuote sortBy spew_sdump spew_sprintf split splitToMap subtract timestamp toJSON
	toJSONPretty toLower toTOML toTitle toUnescapedJSON toUnescapedJSONPretty toUpper toYAML tomlQuote trim trimPrefix trimSpace trimSuffix uniq
	where yamlQuote add
	acceptFiltered caLeaf caRoots connect datacenters dc exportedServices filter importedServices key keyExists keyOrDefault key_or_default ls
	meta name near node nodes nomadService nomadServices ns partition partitions peer peerings safeLs safeTree samenessGroup service services status tag tree`

// An untrusted template calls no function that reaches outside of its data, and the message says why.
func TestUntrusted(t *testing.T) {
	allowed := strings.Fields(inside)
	for _, name := range template.FunctionNames() {
		for _, o := range []template.Options{{Untrusted: true}, {Untrusted: true, Sandbox: "/nonexistent"}} {
			_, err := template.Parse("t", "{{if false}}{{"+name+"}}{{end}}", o)
			may := slices.Contains(allowed, name) || name == "file" && o.Sandbox != ""
			if may != (err == nil) {
				t.Errorf("%s: %v", name, err)
			}
			if err != nil && !strings.Contains(err.Error(), "untrusted") {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	for _, name := range []string{"sprig_env", "expandenv", "getHostByName"} {
		if _, err := template.Parse("t", "{{"+name+"}}", template.Options{}); err == nil {
			t.Errorf("%s is a function, and an untrusted template can call it", name)
		}
	}
}

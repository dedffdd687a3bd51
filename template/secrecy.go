package template

import (
	"encoding/json"
	"slices"
	"strings"

	"render/watch"
)

// leastPart is how many bytes of a secret tell something of it. Fewer stand in many texts.
const leastPart = 4

// canShow reports whether errors can have a text: it stands in the template, and is neither a secret that this pass has, nor
// has or is a part of one. A password can be a word of the template by chance.
func (p *pass) canShow(text string) bool {
	return p.inText(text) && !p.anySecret(func(secret string) bool {
		return secret == text || len(secret) >= leastPart && strings.Contains(text, secret) || len(text) >= leastPart && strings.Contains(secret, text)
	})
}

// anySecret reports whether is accepts a value of a secret that this pass has asked, and true where the answers are gone.
func (p *pass) anySecret(is func(secret string) bool) bool {
	if p.lookup == nil {
		return len(p.secrets) > 0
	}
	return slices.ContainsFunc(p.secrets, func(q watch.Query) bool {
		value, _ := p.lookup(q)
		return anySecret(value, is)
	})
}

// shareParts reports whether two texts have a part in common, or are the same.
func shareParts(a, b string) bool {
	for i := range max(0, len(a)-leastPart+1) {
		if strings.Contains(b, a[i:i+leastPart]) {
			return true
		}
	}
	return a == b
}

// anySecret reports whether is accepts one of the texts and numbers of an answer, however deep they are in it.
func anySecret(value any, is func(string) bool) bool {
	all := func(values ...string) bool {
		return slices.ContainsFunc(values, func(s string) bool { return s != "" && is(s) })
	}
	switch value := value.(type) {
	case string:
		return all(value)
	case json.Number:
		return all(value.String())
	case []any:
		return slices.ContainsFunc(value, func(v any) bool { return anySecret(v, is) })
	case map[string]any:
		for _, v := range value {
			if anySecret(v, is) {
				return true
			}
		}
	case *watch.Secret:
		return value != nil && (anySecret(value.Data, is) || all(value.LeaseID) ||
			value.Auth != nil && all(value.Auth.ClientToken, value.Auth.Accessor) ||
			value.WrapInfo != nil && all(value.WrapInfo.Token, value.WrapInfo.WrappedAccessor))
	case *watch.PKICert:
		return value != nil && all(append([]string{value.Cert, value.Key, value.CA}, value.CAChain...)...)
	case *watch.NomadVar:
		return value != nil && all(value.Items.Values()...)
	case *watch.LeafCert:
		return value != nil && all(value.CertPEM, value.PrivateKeyPEM)
	}
	return false
}

// guardName has Show shorten the names of queries once a part of one is from a secret. Show is called when the answers of this
// pass are gone.
func (p *pass) guardName(q watch.Query) {
	if len(p.secrets) == 0 || p.template.quiet.Load() || q.Kind == watch.KindPlugin {
		return
	}
	texts := []string{q.Name}
	for option, values := range q.Options() {
		if !strings.HasPrefix(option, watch.OptSecret) {
			texts = append(texts, values...)
		}
	}
	for _, text := range texts {
		if !p.inText(text) && p.anySecret(func(secret string) bool { return shareParts(text, secret) }) {
			p.template.quiet.Store(true)
		}
	}
}

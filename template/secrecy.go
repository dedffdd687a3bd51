package template

import (
	"encoding/binary"
	"encoding/json"
	"slices"
	"sort"
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
		if p.inText(text) {
			continue
		}
		for ; p.indexed < len(p.secrets); p.indexed++ {
			value, _ := p.lookup(p.secrets[p.indexed])
			anySecret(value, p.parts.add)
		}
		if p.parts.in(text) || p.parts.in(p.foreignPart(text)) {
			p.template.quiet.Store(true)
		}
	}
}

// foreignPart returns what follows the beginning of a text that stands in the template.
func (p *pass) foreignPart(text string) string {
	return text[sort.Search(len(text), func(n int) bool { return !p.inText(text[:n+1]) }):]
}

// secretParts find parts of secrets in texts, however many secrets there are: names of queries come in tens of thousands.
type secretParts struct {
	whole map[string]bool // all secrets
	long  map[uint64]bool // all parts of 8 bytes
	size  int             // bytes of all secrets
}

const maxSecretParts = 1 << 20 // bytes of secrets in which parts are found; in more, each text is one

// add adds a secret. It returns false, for anySecret.
func (s *secretParts) add(secret string) bool {
	if s.whole == nil {
		s.whole, s.long = make(map[string]bool), make(map[uint64]bool)
	}
	if s.size += len(secret); s.size > maxSecretParts {
		return false
	}
	s.whole[secret] = true
	for i := range max(0, len(secret)-7) {
		s.long[binary.LittleEndian.Uint64([]byte(secret[i:i+8]))] = true
	}
	return false
}

// in reports whether a text is a secret, or has one of 6 bytes at least, or a part of 8 bytes of one. Less is in many names.
func (s *secretParts) in(text string) bool {
	if s.whole[text] || s.size > maxSecretParts {
		return true
	}
	for i := range len(text) {
		for n := 6; n < 8 && i+n <= len(text); n++ {
			if s.whole[text[i:i+n]] {
				return true
			}
		}
		if i+8 <= len(text) && s.long[binary.LittleEndian.Uint64([]byte(text[i:i+8]))] {
			return true
		}
	}
	return false
}

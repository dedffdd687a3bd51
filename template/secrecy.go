package template

import (
	"slices"
	"sort"
	"strings"

	"render/template/secrets"

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
		return secrets.Any(value, is)
	})
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
			p.parts.Add(value)
		}
		if p.parts.In(text) || p.parts.In(p.foreignPart(text)) {
			p.template.quiet.Store(true)
		}
	}
}

// foreignPart returns what follows the beginning of a text that stands in the template.
func (p *pass) foreignPart(text string) string {
	return text[sort.Search(len(text), func(n int) bool { return !p.inText(text[:n+1]) }):]
}

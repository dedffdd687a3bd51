package template

import (
	"errors"
	"maps"
	"slices"
	"sort"
	"strings"
	"sync"
	"unicode"

	"render/template/secrets"

	"render/watch"
	"render/watch/hint"
)

// leastPart is how many bytes of a secret reveal something of it. Fewer stand in many texts.
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

// foreignWords returns a text without the words at its beginning that stand in the template, and all of it where nothing else is in it.
func (p *pass) foreignWords(text string) string {
	known := len(text) - len(p.foreignPart(text))
	if known == len(text) {
		return text
	}
	isWord := func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }
	return text[len(strings.TrimRightFunc(text[:known], isWord)):]
}

// A naming says whether Show shows the name of a query of a template that asks secrets.
type naming uint8

const (
	unknownName naming = iota
	shownName
	madeName // of a secret: it is not shown
)

// names are the queries that a template has asked that asks secrets. What is not among them is not shown.
type names struct {
	mu sync.RWMutex
	of map[watch.Query]nameNote
}

// A nameNote is the naming of a query, and the site that asked it so.
type nameNote struct {
	naming naming
	site   int
}

// madeOfSecret reports whether the query that is asked at a site can have a name that is made of a secret: the arguments can have a part
// of one, or a secret decides on them, and this pass has asked one.
func (p *pass) madeOfSecret(site int) bool { return p.knows && p.template.sites[site].made }

// noteName notes how the name of a query is shown that is asked at a site. A name that is also asked where it is ordinary is shown as
// asked there.
func (p *pass) noteName(a *asked, site int) {
	naming, again := shownName, a.pass == p.number
	if p.madeOfSecret(site) {
		naming, p.hides = madeName, true
	}
	if again && (a.name == shownName || naming == madeName) {
		return
	}
	if again {
		a.site = site
	}
	if a.name != naming {
		a.name = naming
		p.template.names.set(a.query, nameNote{naming, site})
	}
}

func (n *names) set(q watch.Query, as nameNote) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.of == nil {
		n.of = make(map[watch.Query]nameNote)
	}
	n.of[q] = as
}

const moreNames = 1000 // than twice those that are asked are not kept

// forget forgets queries that are not asked any more, where there are many.
func (n *names) forget(asked map[watch.Query]*asked) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.of) > 2*len(asked)+moreNames {
		maps.DeleteFunc(n.of, func(q watch.Query, _ nameNote) bool { return asked[q] == nil })
	}
}

// Hides reports whether Show does not show the name of a query, because it is made of a secret. It can be called while the template is
// executed.
func (t *Template) Hides(q watch.Query) bool {
	_, hidden := t.hiddenAt(q)
	return hidden
}

// hiddenAt returns the place that asked a query whose name is not shown.
func (t *Template) hiddenAt(q watch.Query) (place string, hidden bool) {
	if t.names == nil || q.Kind == watch.KindPlugin {
		return "", false
	}
	t.names.mu.RLock()
	as := t.names.of[q]
	t.names.mu.RUnlock()
	switch as.naming {
	case shownName:
		return "", false
	case madeName:
		site := t.sites[as.site]
		return site.text.place(site.pos), true
	}
	return t.Name(), true
}

// showHidden returns what is shown of a query whose name is not.
func (t *Template) showHidden(q watch.Query, place string) string {
	id := q.Kind
	if t.id != nil {
		id = t.id(q)
	}
	return id + " (name made of a secret, " + place + ")"
}

// hideIn returns an error of a query without what is not in the template's text of its name, or parts of that. The hints are without
// them, too.
func (t *Template) hideIn(err error, q watch.Query, shown string) error {
	texts := []string{t.pass.foreignWords(q.Name)}
	for opt, values := range q.Options() {
		for _, value := range values {
			if !slices.Contains(ownOptions, opt) {
				texts = append(texts, t.pass.foreignWords(value))
			}
		}
	}
	words := secrets.WordsOf(texts...)

	pieces := strings.Split(err.Error(), q.String())
	for i, piece := range pieces {
		pieces[i] = words.Hide(piece)
	}
	var hidden error = &hiddenError{strings.Join(pieces, shown), err}
	for _, h := range slices.Backward(hint.Of(err)) {
		hidden = hint.With(hidden, words.Hide(h))
	}
	return hidden
}

// A hiddenError is an error with another text. It does not unwrap: hints of the error may have what the text has not.
type hiddenError struct {
	text string
	err  error
}

func (e *hiddenError) Error() string        { return e.text }
func (e *hiddenError) Is(target error) bool { return errors.Is(e.err, target) }

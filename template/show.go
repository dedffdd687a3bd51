package template

import (
	"net/url"
	"slices"
	"strings"

	"render/watch"
)

// maxForeign is how many bytes of a name Show shows beyond its beginning that is in the text.
const maxForeign = 24

// ownOptions are the options of queries whose values are not from an answer, although the text need not have them.
var ownOptions = []string{watch.OptAcceptFiltered, watch.OptDestination, watch.OptField, watch.OptReachable, watch.OptSandbox, watch.OptStatus}

// Show returns a query as logs and errors show it. A name, or the value of an option, that is not in the template's text comes from
// an answer, and may be the value of a key. Show shortens it, and adds that it is from an answer. In place of a query whose name is made
// of a secret, Show returns the ID, and the place that asks. Show can be called while the template is executed.
func (t *Template) Show(q watch.Query) string {
	if q.Kind == watch.KindPlugin { // its name is made to be shown
		return q.String()
	}
	if place, hidden := t.hiddenAt(q); hidden {
		return t.showHidden(q, place)
	}
	name, foreign := t.showPart(q.Name)
	opts := make(url.Values)
	for opt, values := range q.Options() {
		for _, value := range values {
			shown, isForeign := value, false
			key, rest, isPair := strings.Cut(value, "=")
			switch {
			case slices.Contains(ownOptions, opt) || strings.HasPrefix(opt, watch.OptSecret):
			case opt == watch.OptChoose:
				count, key, _ := strings.Cut(value, "|")
				shown, isForeign = t.showPart(key)
				shown = count + "|" + shown
			case opt == watch.OptMeta && isPair && t.pass.inText(key):
				shown, isForeign = t.showPart(rest)
				shown = key + "=" + shown
			default:
				shown, isForeign = t.showPart(value)
			}
			foreign = foreign || isForeign
			opts.Add(opt, shown)
		}
	}
	if !foreign {
		return q.String()
	}
	return watch.NewQuery(q.Kind, name, opts).String() + " (from an answer)"
}

// ShowError returns the error of a query as logs and errors show it: the query and its name are in it as Show shows them. The error
// wraps the one that it is given, unless the name is made of a secret.
func (t *Template) ShowError(q watch.Query, err error) error {
	shown := t.Show(q)
	if err == nil || shown == q.String() {
		return err
	}
	if t.Hides(q) {
		return t.hideIn(err, q, shown)
	}
	name, _ := t.showPart(q.Name)
	replaced := []string{q.String(), shown, q.Name, name}

	// A source may name another path than the query: that of KV v2 has data/ in it, and none has parameters.
	asked := q.Name
	if q.Kind == watch.KindSecret {
		asked, _ = q.SecretPath()
	}
	for _, part := range []string{q.Name, asked} {
		if rest := t.pass.foreignPart(part); len(rest) >= leastPart {
			shownPart, _ := t.showPart(part)
			replaced = append(replaced, rest, strings.TrimPrefix(shownPart, strings.TrimSuffix(part, rest)))
		}
	}
	return &shownError{strings.NewReplacer(replaced...).Replace(err.Error()), err}
}

// A shownError is an error with another text.
type shownError struct {
	text string
	err  error
}

func (e *shownError) Error() string { return e.text }
func (e *shownError) Unwrap() error { return e.err }

// showPart returns a part of a query as it is shown, and whether it is not in the text.
func (t *Template) showPart(part string) (shown string, foreign bool) {
	if t.pass.inText(part) {
		return part, false
	}
	known := len(part) - len(t.pass.foreignPart(part))
	if t.quiet.Load() {
		return strings.ToValidUTF8(part[:known], "") + "...", true
	}
	if known+maxForeign >= len(part) {
		return part, true
	}
	return strings.ToValidUTF8(part[:known+maxForeign], "") + "...", true
}

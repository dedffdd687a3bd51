package vault

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"time"

	"render/watch"
	"render/watch/hint"
	"render/watch/vault/api"
	"render/watch/vault/pemfile"
)

// togetherWithin is how long, after a start, a query whose file has a key or a CA alone waits for that of the file with the certificate.
const togetherWithin = 4 * time.Second

const collectFor = 50 * time.Millisecond // queries of one certificate that come within it have its files read again once

// entryQuery returns the query of the entry that answers a query. Templates with the same path and pairs have one certificate, in all their
// files together: one may write the certificate, and another the key.
func entryQuery(q watch.Query) watch.Query {
	if q.Kind != watch.KindPKICert {
		return q
	}
	opts := maps.Clone(q.Options())
	delete(opts, watch.OptDestination)
	delete(opts, watch.OptField)
	return watch.NewQuery(q.Kind, q.Name, opts)
}

// fieldsOf returns which fields of a certificate a query uses.
func fieldsOf(q watch.Query) []string {
	if fields := q.Options()[watch.OptField]; len(fields) > 0 {
		return fields
	}
	return []string{"Cert", "Key"}
}

// lacks reports whether the answer lacks one of the fields that a query uses, because files do not have it. The source's mutex is held.
func (e *entry) lacks(fields []string) bool {
	cert, ok := e.state.value.(*watch.PKICert)
	if !ok || !e.state.filed {
		return false
	}
	return cert.Key == "" && slices.Contains(fields, "Key") ||
		cert.CA == "" && (slices.Contains(fields, "CA") || slices.Contains(fields, "CAChain"))
}

// noteLack notes whether the answer lacks a field for one of the queries. The source's mutex is held.
func (e *entry) noteLack() {
	e.partial = false
	for _, fields := range e.asked {
		if e.lacks(fields) {
			e.partial = true
			return
		}
	}
}

// isPartial reports whether the answer, which is from files, is none to one of the queries.
func (e *entry) isPartial() bool {
	e.source.mu.Lock()
	defer e.source.mu.Unlock()
	return e.partial
}

// uses returns the files of all templates, and the fields that they use.
func (e *entry) uses() (files, fields []string) {
	e.source.mu.Lock()
	defer e.source.mu.Unlock()
	for q, used := range e.asked {
		files = append(files, q.Options()[watch.OptDestination]...)
		fields = append(fields, used...)
	}
	slices.Sort(files)
	return slices.Compact(files), fields
}

// stateFor returns what readers of a query see of its entry. An answer from files may lack a field that the query uses: then there is none yet.
// The failure to get another belongs to such queries only.
func (s *Source) stateFor(e *entry, q watch.Query) state {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := e.state
	switch {
	case !e.partial:
	case !e.lacks(fieldsOf(q)):
		st.err = nil
	default:
		if st.value, st.index = nil, 0; st.err == nil {
			e.wakeUp()
		}
	}
	return st
}

// filed returns the certificate of the templates' files as the first answer to a query. Nothing is asked for it: neither Vault nor a
// token. One that cannot be used is logged once.
func (e *entry) filed(ctx context.Context) (answered, bool) {
	if e.query.Kind != watch.KindPKICert || e.source.stateOf(e).index != 0 && !e.isPartial() { // then the files have an older one
		return answered{}, false
	}
	files, fields := e.uses()
	content := pemfile.Read(files...)
	for end := e.began.Add(togetherWithin); content.Leaf == nil && !content.IsEmpty() && !slices.Contains(fields, "Cert"); content = pemfile.Read(files...) {
		if ctx.Err() != nil || !time.Now().Before(end) {
			break
		}
		e.wait(ctx, time.Until(end), nil, nil)
		files, fields = e.uses()
	}
	threshold := e.source.cfg.Load().Threshold
	found, why := content.Find(e.query.Pairs(), fields, threshold)
	if found.Leaf == nil {
		if why != "" && why != e.unused {
			e.source.log.Info("certificate of a file is not used", "files", strings.Join(files, ", "), "reason", why)
		}
		e.unused = why
		return answered{}, false
	}
	next := found.Due(threshold)
	return answered{value: found.Value.Until(found.Leaf.NotAfter), clock: clock{next: early(next), expires: found.Leaf.NotAfter}, filed: found.Leaf}, true
}

// certificate has Vault issue a certificate.
func (s *Source) certificate(ctx context.Context, q watch.Query, t usedToken) (answered, error) {
	if s.cfg.Load().ReadOnly {
		return answered{}, errReadOnly
	}
	pairs := q.Pairs()
	r := api.Request{Method: http.MethodPut, Path: q.Name, Token: t.token, Wrapped: true, Body: pairs, Hidden: slices.Collect(maps.Values(pairs))}
	got, err := s.client.Do(ctx, r)
	if err != nil {
		return answered{}, err
	}
	switch {
	case got.Status == http.StatusNotFound:
		return answered{}, fmt.Errorf("vault has nothing at %s that issues certificates", q.Name)
	case got.IsMissing():
		return answered{}, useless(hint.With(fmt.Errorf("vault has nothing at %s that issues certificates: the answer is empty (%d)", q.Name, got.Status), hintIssues))
	}
	if got.Body.LeaseID != "" || got.Body.WrapInfo != nil {
		s.keeps.Store(true)
	}
	if len(got.Body.Warnings) > 0 {
		s.warn(q, got.Body.Warnings)
	}
	issued, err := issuedIn(got.Body.Data, pairs)
	if err != nil {
		return answered{}, useless(err)
	}
	now, leaf := time.Now(), issued.Leaf
	next := issued.Due(s.cfg.Load().Threshold)
	if !now.Before(next) { // a short life, or an early begin
		next = now.Add(leaf.NotAfter.Sub(now) / 3 * 2)
	}
	return answered{value: issued.Value.Until(leaf.NotAfter), clock: clock{next: early(next), expires: leaf.NotAfter}}, nil
}

const hintIssues = "the path must issue certificates that are not a CA's, such as pki/issue/ROLE"

// issuedIn returns the certificate of an answer to pairs.
func issuedIn(data map[string]any, pairs map[string]string) (pemfile.Content, error) {
	issued := pemfile.Scan(textsOf(data))
	switch {
	case issued.Leaf == nil && pairs["format"] == "der":
		return issued, hint.With(errors.New("the answer has no certificate in the format PEM"), "leave out format=der")
	case issued.Leaf == nil:
		return issued, hint.With(errors.New("the answer has no certificate that is not a CA's"), hintIssues)
	case !time.Now().Before(issued.Leaf.NotAfter):
		return issued, fmt.Errorf("vault has issued a certificate that has expired at %s; are the clocks right?", issued.Leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	return issued, nil
}

// early returns a time that is a little earlier than due: certificates that were issued together are not all replaced together.
func early(due time.Time) time.Time { return due.Add(-rand.N(max(0, time.Until(due))/16 + 1)) }

// textsOf returns all texts of an answer's data, and those of its chain.
func textsOf(data map[string]any) []byte {
	var b bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(data)) {
		switch value := data[name].(type) {
		case string:
			b.WriteString(value + "\n")
		case []any:
			for _, element := range value {
				if text, ok := element.(string); ok {
					b.WriteString(text + "\n")
				}
			}
		}
	}
	return b.Bytes()
}

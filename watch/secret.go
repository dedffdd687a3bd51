package watch

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"reflect"
	"slices"
	"strings"
	"time"
)

// A Secret is an answer of Vault. Numbers in Data are of the type json.Number.
type Secret struct {
	RequestID     string
	LeaseID       string
	LeaseDuration int // in seconds
	Renewable     bool
	Data          map[string]any
	Warnings      []string
	Auth          *SecretAuth
	WrapInfo      *SecretWrapInfo

	expires time.Time
}

// SecretAuth is the token that an answer has created.
type SecretAuth struct {
	ClientToken   string
	Accessor      string
	Policies      []string
	Metadata      map[string]string
	LeaseDuration int // in seconds
	Renewable     bool
}

// SecretWrapInfo is what Vault says of an answer that it has wrapped.
type SecretWrapInfo struct {
	Token           string
	TTL             int // in seconds
	CreationTime    time.Time
	WrappedAccessor string
}

// Until returns a copy that expires at a time, and that says how many seconds its lease lasts.
func (s *Secret) Until(at time.Time, seconds int) *Secret {
	other := *s
	other.expires = at
	if s.Auth != nil {
		auth := *s.Auth
		auth.LeaseDuration = seconds
		other.Auth = &auth
	} else {
		other.LeaseDuration = seconds
	}
	return &other
}

// Expires returns when Vault no longer accepts what the secret says. It is zero where that does not happen by itself.
func (s *Secret) Expires() time.Time {
	if s == nil {
		return time.Time{}
	}
	return s.expires
}

// Same disregards the request, the lease and its duration: only what a template makes use of counts.
func (s *Secret) Same(other any) bool {
	t := other.(*Secret)
	return reflect.DeepEqual(s.Data, t.Data) && s.Auth.same(t.Auth) && s.WrapInfo.same(t.WrapInfo)
}

func (a *SecretAuth) same(b *SecretAuth) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.ClientToken == b.ClientToken && a.Accessor == b.Accessor && slices.Equal(a.Policies, b.Policies) && reflect.DeepEqual(a.Metadata, b.Metadata)
}

func (w *SecretWrapInfo) same(v *SecretWrapInfo) bool {
	if w == nil || v == nil {
		return w == v
	}
	return w.Token == v.Token
}

// PKICert is a certificate that Vault has issued. Each field is PEM, ends with a newline, and is empty where Vault gave none.
type PKICert struct {
	Cert    string
	Key     string
	CA      string // the first of CAChain
	CAChain []string

	expires time.Time
}

// Data returns the certificate itself, so that a template reads fields as it does with those of a Secret.
func (c *PKICert) Data() *PKICert { return c }

// Until returns a copy that expires at a time.
func (c *PKICert) Until(at time.Time) *PKICert {
	other := *c
	other.expires = at
	return &other
}

// Expires returns when the certificate expires.
func (c *PKICert) Expires() time.Time { return c.expires }

// Same compares the certificates, with their keys.
func (c *PKICert) Same(other any) bool {
	d := other.(*PKICert)
	return c.Cert == d.Cert && c.Key == d.Key && c.CA == d.CA && slices.Equal(c.CAChain, d.CAChain)
}

// OptPair is the option of what a query writes to Vault: KEY=VALUE, one value for each. OptWritten names the keys alone, to be shown.
const (
	OptPair    = OptSecret + "pair"
	OptWritten = "written"
)

// NewSecret returns the query for what Vault has at a path. After a ? may stand parameters, as in a URL; %41 in the path is an A. All
// of it belongs to the query: other parameters are another query. An error says what is wrong with the path.
func NewSecret(at string) (Query, error) {
	at, params, found := strings.Cut(strings.TrimSpace(at), "?")
	clean, err := unescapedPath(at)
	if err != nil {
		return Query{}, err
	}
	if clean == "" {
		return Query{}, errNoPath
	}
	name := nameEscapes.Replace(clean)
	if found {
		values, err := url.ParseQuery(params)
		if err != nil {
			return Query{}, errors.New("the parameters after the ? are not as in a URL")
		}
		if params = values.Encode(); params != "" {
			name += "?" + params
		}
	}
	return NewQuery(KindSecret, name, nil), nil
}

var nameEscapes = strings.NewReplacer("%", "%25", "?", "%3F")

// SecretPath returns the path and the parameters of a query that NewSecret has made.
func (q Query) SecretPath() (path string, params url.Values) {
	name, text, _ := strings.Cut(q.Name, "?")
	path, err := url.PathUnescape(name)
	if err == nil {
		params, err = url.ParseQuery(text)
	}
	if err != nil {
		panic("watch: the name of a query of the kind " + q.Kind + " is not as NewSecret writes it")
	}
	return path, params
}

// NewSecrets returns the query for the names below a path, or an error where the path is empty.
func NewSecrets(at string) (Query, error) {
	clean, err := plainPath(at)
	if err != nil {
		return Query{}, err
	}
	return NewQuery(KindSecrets, clean, nil), nil
}

// NewSecretWrite returns the query for what Vault answers to a write of pairs KEY=VALUE. Of pairs with the same key the last is
// written. Empty pairs are left out. The path is taken as it is written: a ? belongs to it.
func NewSecretWrite(at string, pairs ...string) (Query, error) {
	clean, err := plainPath(at)
	if err != nil {
		return Query{}, err
	}
	opts, err := writtenPairs(pairs)
	if err != nil {
		return Query{}, err
	}
	return NewQuery(KindSecretWrite, clean, opts), nil
}

// NewPKICert returns the query for a certificate. Pairs are as NewSecretWrite takes them. Files are those that the template writes: a
// certificate that they have is used as long as it can be. Fields are those that the template uses, of Cert, Key, CA and CAChain; without
// any they are Cert and Key. Files that lack one of them are of no use.
func NewPKICert(at string, pairs, files []string, fields ...string) (Query, error) {
	at, _, _ = strings.Cut(strings.TrimSpace(at), "?")
	clean, err := unescapedPath(at)
	if err != nil {
		return Query{}, err
	}
	if clean == "" {
		return Query{}, errNoPath
	}
	opts, err := writtenPairs(pairs)
	if err != nil {
		return Query{}, err
	}
	if len(files) > 0 {
		opts[OptDestination] = slices.Compact(slices.Sorted(slices.Values(files)))
	}
	if len(fields) > 0 {
		opts[OptField] = slices.Compact(slices.Sorted(slices.Values(fields)))
	}
	return NewQuery(KindPKICert, clean, opts), nil
}

// Pairs returns what a query writes to Vault.
func (q Query) Pairs() map[string]string {
	pairs := make(map[string]string)
	for _, pair := range q.Options()[OptPair] {
		key, value, _ := strings.Cut(pair, "=")
		pairs[key] = value
	}
	return pairs
}

var errNoPath = errors.New("the path is empty")

// plainPath returns a path that is taken as it is written, without superfluous slashes.
func plainPath(at string) (string, error) {
	clean := strings.Trim(path.Clean("/"+trimPath(at)), "/")
	if clean == "" {
		return "", errNoPath
	}
	return clean, nil
}

// HasParent reports whether a path of Vault, or its unescaped form, has the segment .., which leads to another path than the text says.
func HasParent(at string) bool {
	text, err := url.PathUnescape(at)
	if err != nil {
		text = at
	}
	segments := strings.FieldsFunc(at+"/"+text, func(r rune) bool { return r == '/' || r == '?' })
	return slices.ContainsFunc(segments, func(segment string) bool { return strings.TrimSpace(segment) == ".." })
}

// trimPath returns a path without the whitespace and the slashes around it.
func trimPath(at string) string { return strings.Trim(strings.TrimSpace(at), "/") }

// unescapedPath returns a path of a URL as text, without dots and superfluous slashes.
func unescapedPath(at string) (string, error) {
	text, err := url.PathUnescape(trimPath(at))
	if err != nil {
		return "", errors.New("a % in the path must begin an escape such as %20")
	}
	return strings.Trim(path.Clean("/"+text), "/"), nil
}

// writtenPairs returns the options of pairs KEY=VALUE. The error has the number of a pair, because its text may be a secret.
func writtenPairs(pairs []string) (url.Values, error) {
	values := make(map[string]string)
	for i, pair := range pairs {
		if pair == "" {
			continue
		}
		key, value, found := strings.Cut(pair, "=")
		if !found {
			return nil, fmt.Errorf("argument %d after the path is not KEY=VALUE", i+1)
		}
		values[strings.TrimSpace(key)] = strings.TrimSpace(value)
	}
	opts := url.Values{}
	for key, value := range values {
		opts[OptPair] = append(opts[OptPair], key+"="+value)
		opts[OptWritten] = append(opts[OptWritten], key)
	}
	slices.Sort(opts[OptPair])
	slices.Sort(opts[OptWritten])
	return opts, nil
}

package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"render/watch"
	"render/watch/hint"
)

// Longest is the time that anything lasts at most, whatever Vault says.
const Longest = 100 * 365 * 24 * time.Hour

// A Body is what Vault answers.
type Body struct {
	RequestID     string         `json:"request_id"`
	LeaseID       string         `json:"lease_id"`
	LeaseDuration json.Number    `json:"lease_duration"`
	Renewable     bool           `json:"renewable"`
	Data          map[string]any `json:"data"`
	Warnings      []string       `json:"warnings"`
	Errors        []string       `json:"errors"`
	Auth          *struct {
		ClientToken   string            `json:"client_token"`
		Accessor      string            `json:"accessor"`
		Policies      []string          `json:"policies"`
		Metadata      map[string]string `json:"metadata"`
		LeaseDuration json.Number       `json:"lease_duration"`
		Renewable     bool              `json:"renewable"`
	} `json:"auth"`
	WrapInfo *struct {
		Token           string      `json:"token"`
		TTL             json.Number `json:"ttl"`
		CreationTime    time.Time   `json:"creation_time"`
		WrappedAccessor string      `json:"wrapped_accessor"`
	} `json:"wrap_info"`

	bare bool // nothing of it belongs to a secret, as of sys/health: all of it is data
}

// Parse reads an answer. It is nil where the text is empty.
func Parse(text []byte) (*Body, error) {
	text = bytes.TrimSpace(text)
	if len(text) == 0 {
		return nil, nil
	}
	b := new(Body)
	if err := decode(text, b); err != nil {
		return nil, errors.New("not JSON") // the error has pieces of the text
	}
	if b.bare = b.Errors == nil && b.isBare(); b.bare {
		if err := decode(text, &b.Data); err != nil {
			return nil, errors.New("not JSON")
		}
	}
	return b, nil
}

// decode reads one JSON value, whose numbers keep their text.
func decode(text []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("text after the value")
	}
	return nil
}

// isBare reports whether an answer has nothing that belongs to a secret, as that of sys/health: then all of it is data.
func (b *Body) isBare() bool {
	return b.LeaseID == "" && Number(b.LeaseDuration) == 0 && !b.Renewable && b.Data == nil && len(b.Warnings) == 0 && b.Auth == nil && b.WrapInfo == nil
}

const hintOther = "is this Vault? check the address, and the proxies and load balancers on the way to Vault"

// check returns an error where an answer to a request is not one of Vault. A proxy, a load balancer or a gateway has answered then:
// what it says of a secret, or does not say, means nothing. The body is nil where it is empty, the status is one of success or 404.
func (b *Body) check(r Request, status int) error {
	switch {
	case b == nil && r.Method != http.MethodGet && (status == http.StatusNoContent || status == http.StatusAccepted):
		return nil
	case b == nil && status == http.StatusNoContent: // Vault has that, too, where there is nothing and the answer would not be JSON
		return hint.With(&StatusError{Status: status, Path: r.Path, Texts: []string{"the answer is empty"}}, hintOther)
	case b == nil:
		return watch.OutageError{Err: hint.With(fmt.Errorf("the answer is empty (%d)", status), hintOther)}
	case b.bare && status == http.StatusNotFound, b.bare && b.RequestID == "" && (len(b.Data) == 0 || !r.isRaw()),
		b.Errors != nil && status != http.StatusNotFound:
		return watch.OutageError{Err: hint.With(fmt.Errorf("the answer is not in the form of Vault's (%d)", status), hintOther)}
	}
	return nil
}

// isRaw reports whether Vault may answer with an object that has nothing of what all other answers have.
func (r Request) isRaw() bool {
	return strings.HasPrefix(r.Path, "sys/") || strings.HasPrefix(r.Path, "identity/")
}

// Secret returns the answer as a template sees it.
func (b *Body) Secret() *watch.Secret {
	s := &watch.Secret{
		RequestID: b.RequestID, LeaseID: b.LeaseID, LeaseDuration: int(Number(b.LeaseDuration)), Renewable: b.Renewable,
		Data: b.Data, Warnings: b.Warnings,
	}
	if a := b.Auth; a != nil {
		s.Auth = &watch.SecretAuth{
			ClientToken: a.ClientToken, Accessor: a.Accessor, Policies: a.Policies, Metadata: a.Metadata,
			LeaseDuration: int(Number(a.LeaseDuration)), Renewable: a.Renewable,
		}
	}
	if w := b.WrapInfo; w != nil {
		s.WrapInfo = &watch.SecretWrapInfo{Token: w.Token, TTL: int(Number(w.TTL)), CreationTime: w.CreationTime, WrappedAccessor: w.WrappedAccessor}
	}
	return s
}

// Number returns a number of an answer; 0 for another value.
func Number(v any) int64 {
	switch v := v.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		f, _ := v.Float64()
		return int64(min(max(f, math.MinInt32), math.MaxInt32)) // no number of Vault's is greater
	case string:
		d, _ := Seconds(strings.TrimSpace(v))
		return int64(d / time.Second)
	}
	return 0
}

// Seconds reads a duration that may be a number of seconds, as Vault writes and reads them.
func Seconds(text string) (time.Duration, bool) {
	if n, err := strconv.ParseFloat(text, 64); err == nil {
		if !(math.Abs(n) <= Longest.Seconds()) { // or no number at all
			return 0, false
		}
		return time.Duration(n * float64(time.Second)), true
	}
	d, err := time.ParseDuration(text)
	return d, err == nil
}

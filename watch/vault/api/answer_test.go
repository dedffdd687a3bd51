package api

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"render/watch"
	"render/watch/hint"
)

// What counts as an answer of Vault: only that says that there is nothing. All else is an error, with a hint.
func TestAnswersOfVault(t *testing.T) {
	const (
		full    = `{"request_id":"1","lease_id":"","renewable":false,"lease_duration":0,"data":{"a":"b"},"wrap_info":null,"warnings":null,"auth":null}`
		nulls   = `{"request_id":"1","lease_id":"","renewable":false,"lease_duration":0,"data":null,"wrap_info":null,"warnings":null,"auth":null}`
		warning = `{"request_id":"1","lease_id":"","renewable":false,"lease_duration":0,"data":null,"wrap_info":null,"warnings":["Invalid path"],"auth":null}`
	)
	const read, write = http.MethodGet, http.MethodPut
	for _, test := range []struct {
		method, path string
		status       int
		text         string
		want         string // value, missing, error, or outage
	}{
		// Vault's
		{read, "kv/a", 200, full, "value"},
		{read, "kv/a", 200, nulls, "value"},
		{read, "kv/a", 200, `{"data":{}}`, "value"},
		{read, "kv/a", 404, `{"errors":[]}` + "\n", "missing"},
		{read, "kv/a", 404, `{"errors":["no handler for route \"kv/a\". route entry not found."]}`, "error"},
		{read, "sys/a", 404, `{"errors":["1 error occurred:\n\t* unsupported path\n\n"]}`, "error"},
		{read, "kv/a", 404, warning, "missing"},
		{read, "kv/data/a", 404, `{"request_id":"1","data":{"data":null,"metadata":{"version":1}}}`, "value"}, // a deleted version
		{read, "sys/seal-status", 200, `{"sealed":false}`, "value"},
		{read, "identity/oidc/.well-known/keys", 200, `{"keys":[]}`, "value"},
		{read, "sys/health", 503, `{"sealed":true}`, "value"},
		{read, "pki/ca", 204, "", "error"},
		{write, "kv/a", 204, "", "missing"},
		{write, "sys/leases/revoke", 202, "", "missing"},
		{write, "kv/data/a", 200, full, "value"},

		// not Vault's
		{read, "kv/a", 404, "", "outage"},
		{read, "kv/a", 404, " \n", "outage"},
		{read, "kv/a", 404, "{}", "outage"},
		{read, "kv/a", 404, "null", "outage"},
		{read, "kv/a", 404, `{"data":null}`, "outage"},
		{read, "kv/a", 404, `{"errors":null}`, "outage"},
		{read, "kv/a", 404, `{"message":"no Route matched with those values"}`, "outage"},
		{read, "kv/a", 404, `{"errors":[{"status":"404","title":"Not Found"}]}`, "outage"},
		{read, "kv/a", 404, nulls, "outage"},
		{read, "kv/a", 404, "<html>", "outage"},
		{read, "sys/policy/a", 404, `{"message":"Not Found"}`, "outage"},
		{read, "kv/a", 200, "", "outage"},
		{read, "kv/a", 200, "{}", "outage"},
		{read, "kv/a", 200, "null", "outage"},
		{read, "kv/a", 200, "[1,2]", "outage"},
		{read, "kv/a", 200, `{"data":null}`, "outage"},
		{read, "kv/a", 200, `{"status":"ok"}`, "outage"},
		{read, "kv/a", 200, `{"errors":[]}`, "outage"},
		{read, "kv/a", 200, `{"errors":["x"],"data":{"a":"b"}}`, "outage"},
		{read, "kv/a", 204, "", "error"},
		{read, "sys/policy/a", 200, "{}", "outage"},
		{write, "kv/a", 200, "", "outage"},
		{write, "kv/a", 200, "{}", "outage"},
		{write, "kv/a", 404, "", "outage"},
	} {
		r := Request{Method: test.method, Path: test.path}
		b, err := r.judge(&http.Response{StatusCode: test.status}, []byte(test.text))
		got := "value"
		switch _, away := errors.AsType[watch.OutageError](err); {
		case away:
			got = "outage"
		case err != nil:
			got = "error"
		case Reply{Status: test.status, Body: b}.IsMissing():
			got = "missing"
		}
		if got != test.want {
			t.Errorf("%s %s: %d %s: got %s (%v), want %s", test.method, test.path, test.status, test.text, got, err, test.want)
		}
		if _, ok := errors.AsType[*StatusError](err); err != nil && !(ok && test.text != "") && (len(hint.Of(err)) != 1 || !strings.HasPrefix(hint.Of(err)[0], "is this Vault?")) {
			t.Errorf("%v: the hints are %q", err, hint.Of(err))
		}
	}
}

package vault

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"render/watch"
)

// The path of a query may have a part of a secret. No line of the log has it, and no error but the query's own: the caller knows what of that
// can be shown.
func TestPathsAreNotShown(t *testing.T) {
	const hidden = "geheim"
	for _, status := range []int{http.StatusForbidden, http.StatusServiceUnavailable, http.StatusBadGateway, 472} {
		var lines record
		simulate(t, Config{Log: lines.log(), Polls: []Poll{{Every: time.Second}}}, func(f *fake, s *Source, fl *follower) {
			f.warning = "a warning about app/" + hidden
			f.refuses["secret/metadata/app/"+hidden] = http.StatusForbidden
			f.values["secret/data/app/"+hidden], f.values["kv1/app"] = "v", "v"
			derived, other := query(t, "secret/app/"+hidden), query(t, "kv1/app")
			fl.watch(derived, other, query(t, db))
			fl.pass(10 * time.Second)
			for _, message := range []string{"vault sent a warning", "vault metadata not readable"} {
				if !strings.Contains(lines.String(), message) {
					t.Errorf("%q is not logged: %s", message, lines.String())
				}
			}

			f.do(func() { f.refuses["secret/data/app/"+hidden], f.values["kv1/app"] = status, "w" })
			s.change(*s.cfg.Load())
			for range 100 {
				fl.pass(time.Second)
				if err := fl.states[other].Err; err != nil && strings.Contains(err.Error(), hidden) {
					t.Fatalf("%d: another query has the error %v", status, err)
				}
			}
			err := fl.states[derived].Err
			if own := status == http.StatusForbidden; err == nil || strings.Contains(err.Error(), hidden) != own {
				t.Errorf("%d: the query's own error is %v", status, err)
			}
		})
		if strings.Contains(lines.String(), hidden) {
			t.Errorf("%d: the log has the path: %s", status, lines.String())
		}
	}
	if name, path := mountName(watch.Query{Kind: watch.KindSecrets, Name: "secret"}); name != "secret/" || path != "" {
		t.Errorf("got %q and %q", name, path)
	}
}

package render

import (
	"strings"
	"testing"
	"time"
)

// No line of the log, no state and no error of a run with Once has what plugin was given from an answer, or what its program
// prints: whatever way the program fails, and when its output changes.
func TestPluginShowsNoValue(t *testing.T) {
	for name, c := range map[string]struct {
		text, value string
		logged      string
	}{
		"no program":      {`{{plugin (key "k")}}`, "canary", "a name of 6 bytes that is not in the template's text"},
		"no such file":    {`{{plugin (key "k")}}`, "/canary/x", "no such file"},
		"not executable":  {`{{plugin (key "k") "x"}}`, "/dev/null", "permission denied"},
		"a folder":        {`{{plugin (print "/tmp/../" (key "k")) "x"}}`, "canary/", "no such file"},
		"NUL":             {`{{plugin "sh" "-c" (key "k")}}`, "canary\x00", "invalid argument"},
		"exit status":     {`{{plugin "sh" "-c" "echo $0; echo $0 >&2; exit 3" (key "k")}}`, "canary", "exit status 3"},
		"signal":          {`{{plugin "sh" "-c" "echo $0; echo $0 >&2; kill -9 $$" (key "k")}}`, "canary", "killed"},
		"output":          {`{{plugin "sh" "-c" "yes $0 | head -c 20000000" (key "k")}}`, "canary", "plugin sh"},
		"output of a key": {`{{plugin "sh" "-c" "echo $0" (key "k") | parseJSON}}`, "canary", "parseJSON"},
		"output as a key": {`{{plugin "sh" "-c" "echo $0" (key "k") | toLower | parseInt}}`, "canary", "parseInt"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				r.start(Config{Targets: []Target{r.target("a", c.text)}})
				r.set(kv("k"), c.value)
				elapse(2 * time.Minute) // also the reports
				r.wantLog(c.logged)
				if log := r.log.String(); strings.Contains(strings.ReplaceAll(log, r.dir, ""), "canary") {
					t.Errorf("a value is in the log:\n%s", log)
				}
				if s := r.status().Targets[0]; s.Err != nil && strings.Contains(s.Err.Error(), "canary") {
					t.Errorf("the state has %v", s.Err)
				}
			})
			bubble(t, func(t *testing.T, r *rig) {
				r.set(kv("k"), c.value)
				err := r.run(t.Context(), Config{Targets: []Target{r.target("a", c.text)}})
				if err == nil || strings.Contains(err.Error(), "canary") {
					t.Errorf("with Once: %v", err)
				}
			})
		})
	}
	bubble(t, func(t *testing.T, r *rig) {
		r.start(Config{Targets: []Target{r.target("a", `{{plugin "echo" (key "k")}}`)}})
		for _, value := range []string{"canary1", "canary2"} {
			r.set(kv("k"), value)
			elapse(time.Minute)
			r.wantFile("a", value)
		}
		r.wantLog(`"because":"kv k: changed"`)
		if strings.Contains(r.log.String(), "canary") {
			t.Errorf("a value is in the log:\n%s", r.log)
		}
	})
}

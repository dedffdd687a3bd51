package commit

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"render/render/run"
)

// What is printed is searched for secrets only where it is used, and all of a commit with one finder: of many files with a check each,
// each with its secret, the search costs as much as of one.
func TestSecretsSoughtOnce(t *testing.T) {
	for _, fails := range []bool{false, true} {
		dir := t.TempDir()
		p := Plan{Action: Action{Check: run.Command{Shell: "check {}"}}}
		for i := range 10 {
			p.Files = append(p.Files, File{Destination: filepath.Join(dir, fmt.Sprint(i)), Contents: []byte("x")})
			p.Secrets = append(p.Secrets, fmt.Sprintf("secret-%d", i))
		}
		tools := newTools(t)
		tools.Run = func(run.Command, run.Limits) (string, error) {
			if fails {
				return "secret-3 is wrong\nline 7", fmt.Errorf("exit status 1")
			}
			return "secret-3 is right", nil
		}
		c := newCommit(p, tools)
		c.stage()
		if sought := c.secrets != nil; sought != fails {
			t.Errorf("fails %v: sought %v", fails, sought)
		}
		for path, err := range c.r.Failed {
			if text := err.Error(); strings.Contains(text, "secret-3") || !strings.Contains(text, "line 7") {
				t.Errorf("%s: %s", path, text)
			}
		}
		if len(c.r.Failed) > 0 != fails {
			t.Errorf("fails %v: %v", fails, c.r.Failed)
		}
		c.end()
	}
}

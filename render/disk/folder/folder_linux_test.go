package folder

import (
	"os"
	"testing"
)

// A path is resolved to the same place name by name as by the system in one step.
func TestOpenByNames(t *testing.T) {
	dir := newDir(t)
	must(t, os.MkdirAll(dir+"/a/b", 0o755))
	must(t, os.Symlink("a", dir+"/link"))
	must(t, os.WriteFile(dir+"/file", nil, 0o600))
	for path, ok := range map[string]bool{"": true, "a/b": true, "link/b": false, "a/none": false, "file": false} {
		slow, slowErr := openByNames(dir + "/" + path)
		fast, fastErr := openWithoutLinks(dir + "/" + path)
		if (slowErr == nil) != ok || (fastErr == nil) != ok {
			t.Errorf("%s: %v, %v", path, slowErr, fastErr)
		}
		if ok {
			a, err := slow.Stat()
			must(t, err)
			b, err := fast.Stat()
			must(t, err)
			if a.Identity != b.Identity {
				t.Errorf("%s: %+v, %+v", path, a, b)
			}
		}
		slow.Close()
		fast.Close()
	}
}

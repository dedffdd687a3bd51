package disk

import (
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

// Folders are public where everybody may pass all of them. What has changed counts after a second.
func TestFolders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		top := t.TempDir()
		path := filepath.Join(top, "a", "b", "file")
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		chmod := func(dir string, mode os.FileMode) {
			t.Helper()
			if err := os.Chmod(dir, mode); err != nil {
				t.Fatal(err)
			}
		}
		chmod(top, 0o755)
		chmod(filepath.Dir(top), 0o755)
		var folders Folders
		if !folders.ArePublic(path) {
			t.Skip("the folder of the test is not public")
		}
		chmod(filepath.Join(top, "a"), 0o750)
		if (*Folders)(nil).ArePublic(path) {
			t.Error("a folder above is private")
		}
		time.Sleep(foldersKnown + 1)
		if folders.ArePublic(path) || folders.ArePublic(filepath.Join(top, "none", "file")) {
			t.Error("after a second a private folder is public")
		}
		chmod(filepath.Join(top, "a"), 0o711)
		if time.Sleep(foldersKnown + 1); !folders.ArePublic(path) {
			t.Error("after a second a public folder is private")
		}
	})
}

package sources

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// A folder of partials may have any name, and what editors and package managers leave in it is no partial.
func TestPartialsOfFolder(t *testing.T) {
	for _, name := range []string{"p", "p[1]", "p*", "p?", `p\x`, "p{a,b}", "#p"} {
		folder := filepath.Join(t.TempDir(), name)
		if err := os.Mkdir(folder, 0o755); err != nil {
			t.Fatal(err)
		}
		for _, file := range []string{
			"b.tmpl", "a", "c#", "#d", ".hidden", ".a.swp", "a~", "b.tmpl~", "b.tmpl.bak", "b.tmpl.BAK", "b.swp", "b.swo", "#b.tmpl#", "b.orig", "b.rej", "b.rpmsave",
			"b.rpmnew", "b.dpkg-old", "b.dpkg-dist",
		} {
			if err := os.WriteFile(filepath.Join(folder, file), []byte(file), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		partials, err := readPartials(folder)
		var names []string
		for _, p := range partials {
			names = append(names, filepath.Base(p.Name))
		}
		if want := []string{"#d", "a", "b.tmpl", "c#"}; err != nil || !slices.Equal(names, want) {
			t.Errorf("%s: %v, %v; want %v", name, names, err, want)
		}
	}
}

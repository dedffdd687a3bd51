package web

import (
	"io/fs"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// TestTry serves a sample for a person, where RENDER_TRY is an address.
func TestTry(t *testing.T) {
	address := os.Getenv("RENDER_TRY")
	if address == "" {
		t.Skip()
	}
	s := newServer(t, newSample(24, ""))
	check(t, s.Apply(Settings{Addresses: []string{address}}))
	time.Sleep(time.Hour)
}

// Each page answers.
func TestPages(t *testing.T) {
	url := serve(t, newServer(t, newSample(24, "")), Settings{})
	for path, want := range map[string]int{
		"/": 200, "/targets": 200, "/targets?state=failed&q=0001": 200, "/targets?page=7": 200, "/actions": 200, "/queries": 200, "/history": 200,
		"/targets/t0001": 200, "/targets/t0004": 200, "/targets/t0007": 200, "/actions/nginx": 200, "/queries/service-web": 200, "/history/3": 200, "/history/4": 200,
		"/targets/x": 404, "/actions/x": 404, "/queries/x": 404, "/history/99": 404, "/history/x": 404, "/nothing": 404, "/assets/icon.svg": 200, "/assets/x": 404,
	} {
		if code, _, body := get(t, http.DefaultClient, url+path); code != want {
			t.Errorf("%s: %d %.300s", path, code, body)
		}
	}
}

// A filter of the address stays in all links of its page, and the page says what it is about.
func TestFilterStays(t *testing.T) {
	url := serve(t, newServer(t, newSample(24, "")), Settings{})
	_, _, body := get(t, http.DefaultClient, url+"/history?target=t0000&action=haproxy&q=app&state=applied")
	for _, want := range []string{
		`href="/history?action=haproxy&amp;q=app&amp;state=applied&amp;target=t0000"`, `href="/history?action=haproxy&amp;q=app&amp;target=t0000"`,
		`<input type="hidden" name="target" value="t0000">`, `<input type="hidden" name="action" value="haproxy">`,
		`Only of <code>/etc/app/0000.conf</code> and <code>systemctl reload haproxy</code>.`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("no %s in %s", want, body)
		}
	}
	for _, path := range []string{"/history", "/queries?target=t0000&action=haproxy", "/actions?target=t0000&action=haproxy"} {
		if _, _, body = get(t, http.DefaultClient, url+path); strings.Contains(body, "Only of") || strings.Contains(body, "hidden") {
			t.Errorf("%s has no such filter: %s", path, body)
		}
	}
	if _, _, body = get(t, http.DefaultClient, url+"/targets?target=t0003"); strings.Count(body, `<tr id="t-`) != 1 || !strings.Contains(body, "/etc/app/0003.conf") {
		t.Errorf("the list of one file: %s", body)
	}
}

// Nothing that strangers name is more than text: no markup, nothing that moves or hides letters, and of long names the beginning.
func TestHostileNames(t *testing.T) {
	hostile := "<script>alert(1)</script><img src=x onerror=alert(1)>\"'`--></title>\x00\x07\x1b[31m\u202eabc\u2066\u200b\u2028\xff" + strings.Repeat("x", 10_000)
	e := newSample(24, hostile)
	url := serve(t, newServer(t, e), Settings{})
	paths := []string{"/", "/targets", "/actions", "/queries", "/history", "/?q=<script>alert(1)</script>\u202e", "/targets?state=<b>&action=<i>", "/history?target=<u>", "/<script>"}
	for _, x := range e.snapshot.Load().Targets[:8] {
		paths = append(paths, "/targets/"+x.ID)
	}
	for _, x := range e.snapshot.Load().Queries[:8] {
		paths = append(paths, "/queries/"+x.ID)
	}
	paths = append(paths, "/actions/nginx", "/actions/haproxy", "/history/1", "/history/2", "/history/3", "/history/4")
	for _, path := range paths {
		code, _, body := get(t, http.DefaultClient, url+strings.NewReplacer("<", "%3C", ">", "%3E").Replace(path))
		if code != 200 && path != "/<script>" {
			t.Errorf("%s: %d %.200s", path, code, body)
		}
		for _, bad := range []string{"<script>alert", "<img", "\u202e", "\u2066", "\u200b", "\u2028", "\x00", "\x07", "\x1b", strings.Repeat("x", 1100)} {
			if bad[0] == 'x' && strings.Contains(body, `aria-label="Output"`) { // which may be longer
				continue
			}
			if strings.Contains(body, bad) {
				i := strings.Index(body, bad)
				t.Errorf("%s has %q: …%q", path, bad, body[max(0, i-100):min(len(body), i+40)])
			}
		}
		if !utf8.ValidString(body) {
			t.Errorf("%s is not UTF-8", path)
		}
	}
}

// The page, its style and its script are small, and ask nobody else.
func TestAssets(t *testing.T) {
	total := 0
	check(t, fs.WalkDir(assets, "assets", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := assets.ReadFile(path)
		total += len(text)
		if found := regexp.MustCompile(`(?i)(https?:)?//[a-z0-9.-]+\.[a-z]+|@import|url\(| on[a-z]+="| style="|innerHTML|eval\(`).FindAll(text, -1); len(found) > 0 && !strings.HasSuffix(path, ".svg") {
			t.Errorf("%s has %q", path, found)
		}
		return err
	}))
	if total > 60_000 {
		t.Errorf("they have %d bytes", total)
	}
	t.Logf("%d bytes", total)
}

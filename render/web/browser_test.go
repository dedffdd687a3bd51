package web

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/performance"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"render/render"
	"render/render/run"
	"render/render/status"
	"render/watch"
	"render/watch/consul"
	"render/watch/consultest"
)

// browserTime is for a page to be as a test wants it, on a machine that is busy.
const browserTime = 40 * time.Second

// A browser is a page of a real Chromium, which notes its errors and what it asks.
type browser struct {
	*testing.T
	ctx  context.Context
	base string

	mu       sync.Mutex // guards what follows
	errs     []string
	requests []string
}

// newBrowser opens a Chromium. Its requests have to go to base.
func newBrowser(t *testing.T, base string) *browser {
	t.Helper()
	if testing.Short() {
		t.Skip("starts a browser")
	}
	program, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("there is no chromium: run `make chromium`")
	}
	dir := t.TempDir()
	t.Cleanup(func() { // the browser may still write to it for a moment after its end
		for end := time.Now().Add(10 * time.Second); os.RemoveAll(dir) != nil && time.Now().Before(end); {
			time.Sleep(50 * time.Millisecond)
		}
	})
	options := slices.Concat(chromedp.DefaultExecAllocatorOptions[:], []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(program), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(dir), chromedp.WindowSize(1280, 900),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
	})
	ctx, stop := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(stop)
	ctx, stop = chromedp.NewContext(ctx)
	t.Cleanup(stop)
	b := &browser{T: t, ctx: ctx, base: base}
	check(t, chromedp.Listen(ctx, b.listen))
	_, err = chromedp.Call(ctx, network.Enable, network.EnableParams{})
	check(t, err)
	_, err = chromedp.Call(ctx, log.Enable, cdp.Empty{})
	check(t, err)
	_, err = chromedp.Call(ctx, runtime.Enable, cdp.Empty{})
	check(t, err)
	t.Cleanup(b.check)
	return b
}

// listen notes errors and requests.
func (b *browser) listen(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		b.errs = append(b.errs, fmt.Sprintf("%s %+v", e.ExceptionDetails.Text, e.ExceptionDetails.Exception))
	case *runtime.EventConsoleAPICalled:
		if e.Type == "error" || e.Type == "warning" {
			b.errs = append(b.errs, fmt.Sprint("console: ", e.Args))
		}
	case *log.EventEntryAdded:
		if e.Entry.Level == "error" || e.Entry.Level == "warning" {
			b.errs = append(b.errs, e.Entry.Text+" "+e.Entry.URL)
		}
	case *network.EventRequestWillBeSent:
		b.requests = append(b.requests, e.Request.URL)
	}
}

// check finds errors, and requests to others.
func (b *browser) check() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, text := range b.errs {
		b.Errorf("the page has an error: %s", text)
	}
	for _, address := range b.requests {
		if !strings.HasPrefix(address, b.base+"/") {
			b.Errorf("the page asks for %s", address)
		}
	}
}

func (b *browser) run(actions ...chromedp.Action[chromedp.Void]) {
	b.Helper()
	ctx, stop := context.WithTimeout(b.ctx, browserTime)
	defer stop()
	if err := chromedp.Do(ctx, actions...); err != nil {
		b.Fatal(err)
	}
}

// value returns what an action returns.
func value[T any](b *browser, action chromedp.Action[T]) T {
	b.Helper()
	ctx, stop := context.WithTimeout(b.ctx, browserTime)
	defer stop()
	result, err := chromedp.Run(ctx, action)
	if err != nil {
		b.Fatal(err)
	}
	return result
}

// call sends the browser a command.
func call[P, R any](b *browser, command cdp.Command[P, R], parameters P) R {
	b.Helper()
	ctx, stop := context.WithTimeout(b.ctx, browserTime)
	defer stop()
	result, err := chromedp.Call(ctx, command, parameters)
	if err != nil {
		b.Fatal(err)
	}
	return result
}

func (b *browser) open(path string) {
	b.Helper()
	b.run(chromedp.Navigate(b.base + path))
}

// eval returns the value of an expression of JavaScript.
func eval[T any](b *browser, expression string) T {
	b.Helper()
	return value(b, chromedp.Evaluate[T](expression))
}

// until waits for an expression to be true.
func (b *browser) until(expression string) {
	b.Helper()
	for end := time.Now().Add(browserTime); ; time.Sleep(20 * time.Millisecond) {
		if eval[bool](b, "!!("+expression+")") {
			return
		}
		if time.Now().After(end) {
			b.Fatalf("it never is so: %s\n%s", expression, eval[string](b, "document.body.innerText"))
		}
	}
}

// accessible finds what people who use no mouse, or no screen, cannot use.
func (b *browser) accessible(axe, what string) {
	b.Helper()
	eval[int](b, axe+";0")
	type violation struct {
		Impact string `json:"impact"`
		Text   string `json:"text"`
	}
	for _, v := range value(b, chromedp.Evaluate[[]violation](`axe.run().then((r) => r.violations.map((v) => ({impact: v.impact, text: v.help + ": " + v.nodes[0].html + " " + v.nodes[0].failureSummary})))`, chromedp.EvalAwaitPromise)) {
		b.Errorf("%s: %s: %s", what, v.Impact, v.Text)
	}
}

// picture makes a picture of the whole page, in the folder of RENDER_PICTURES where that is set.
func (b *browser) picture(name string) {
	b.Helper()
	png := value(b, chromedp.FullScreenshot(100))
	if len(png) < 10_000 {
		b.Errorf("the picture %s has %d bytes only", name, len(png))
	}
	if dir := os.Getenv("RENDER_PICTURES"); dir != "" {
		check(b.T, os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644))
	}
}

// scheme has the page be dark or light.
func (b *browser) scheme(name string) {
	b.Helper()
	call(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}}})
}

// axeSource returns the program that looks for what is not accessible.
func axeSource(t *testing.T) string {
	path := os.Getenv("AXE")
	if path == "" {
		t.Skip("there is no axe-core: run `make axe`")
	}
	text, err := os.ReadFile(path)
	check(t, err)
	return string(text)
}

// What changes in a real Consul is on the page within a second of its commit; a failed check is there with its output, and goes. Links, filters
// and the way back work, with the keyboard alone, too, and without JavaScript.
func TestBrowser(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	agent, err := consultest.Start(t.Context(), "")
	check(t, err)
	t.Cleanup(agent.Stop)
	source, err := consul.New(consul.Config{Address: agent.Addr})
	check(t, err)
	t.Cleanup(source.Close)
	check(t, agent.Put("a", "one"))
	check(t, agent.Put("checked", "good"))
	cfg := render.Config{
		Targets: []render.Target{
			{Source: "a.ctmpl", Contents: `{{key "a"}}`, Destination: filepath.Join(dir, "a.conf")},
			{Source: "checked.ctmpl", Contents: `{{key "checked"}}`, Destination: filepath.Join(dir, "checked.conf"), Action: "checked"},
			{Source: "waiting.ctmpl", Contents: "\n  {{key \"missing/key\"}}", Destination: filepath.Join(dir, "waiting.conf")},
		},
		Actions: []render.Action{{Name: "checked", Spacing: time.Millisecond, Check: run.Command{Shell: "grep good {} || { echo the check says no; exit 1; }"}}},
	}
	engine, err := render.New(watch.ByKind{"": source}, cfg)
	check(t, err)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- engine.Run(ctx) }()
	t.Cleanup(func() { stop(); check(t, <-ended) })
	base := serve(t, newServer(t, engine), Settings{})
	b := newBrowser(t, base)

	b.open("/")
	b.until(`document.querySelector("#state").innerText.includes("1 of 3 files need data that does not exist")`)
	b.until(`document.querySelector("#live").textContent == "live"`)
	b.until(`document.querySelector("#main").innerText.includes("waiting.ctmpl:2:5")`)

	// Changes. The best of some is measured: the machine may be busy.
	best := time.Hour
	for i := range 5 {
		n := engine.History().Number()
		check(t, agent.Put("a", fmt.Sprint("value ", i)))
		await(t, func() error {
			if engine.History().Number() == n {
				return errors.New("there is no commit")
			}
			return nil
		})
		c := engine.History().Commits()[0]
		b.until(fmt.Sprintf(`document.getElementById("c-%d")`, c.Number))
		best = min(best, time.Since(c.Ended))
		if text := eval[string](b, fmt.Sprintf(`document.getElementById("c-%d").innerText`, c.Number)); !strings.Contains(text, " a: changed") || strings.Contains(text, "value") {
			t.Errorf("the commit shows %q", text)
		}
	}
	t.Logf("a change is on the page %s after its commit", best)
	if best > time.Second {
		t.Errorf("a change is on the page %s after its commit", best)
	}

	// A failed check, and its end.
	check(t, agent.Put("checked", "bad"))
	b.until(`document.querySelector("#main .list .err")?.innerText.includes("the check says no")`)
	b.until(`document.querySelector("#state").className == "bad"`)
	check(t, agent.Put("checked", "good again"))
	b.until(`!document.querySelector("#main .list .err") && document.querySelector("#state").className == "wait"`)

	// A filter stands in the address; a link leads away, and the way back to the filter.
	b.open("/targets")
	b.run(chromedp.SendKeys(chromedp.CSS(`input[type=search]`), "checked"))
	b.until(`location.search == "?q=checked" && document.querySelectorAll("tbody tr").length == 1`)
	b.run(chromedp.Click(chromedp.CSS(`tbody th a`)))
	b.until(`location.pathname.startsWith("/targets/") && document.querySelector("h1")?.innerText.endsWith("checked.conf")`)
	b.until(`document.querySelector("#main").innerText.includes("checked.ctmpl:1:")`)
	b.run(chromedp.NavigateBack())
	b.until(`location.search == "?q=checked" && document.querySelectorAll("tbody tr").length == 1 && document.querySelector("input[type=search]")?.value == "checked"`)
	b.open("/targets?state=absent")
	b.until(`document.querySelectorAll("tbody tr").length == 1 && document.querySelector(".chips [aria-current]")?.innerText.startsWith("data missing")`)

	// The focus stays where it is while the page changes.
	b.open("/")
	b.until(`document.querySelector("#live").textContent == "live"`)
	b.run(chromedp.Focus(chromedp.CSS(`input[type=search]`)))
	n := engine.History().Number()
	check(t, agent.Put("a", "while somebody types"))
	b.until(fmt.Sprintf(`document.getElementById("c-%d")`, n+1))
	if tag := eval[string](b, `document.activeElement.tagName`); tag != "INPUT" {
		t.Errorf("the focus is at %s", tag)
	}

	b.keyboard()
	b.withoutScript(t)

	// What the engine answers is what the API describes, with everything that has happened.
	validateAPI(t, base)
}

// keyboard goes through the page with Tab: everything can be reached, and shows that it has the focus.
func (b *browser) keyboard() {
	b.Helper()
	b.open("/targets")
	b.run(chromedp.KeyEvent(kb.Tab))
	if text := eval[string](b, `document.activeElement.innerText`); text != "Skip to content" {
		b.Errorf("the first that has the focus is %q", text)
	}
	b.run(chromedp.KeyEvent(kb.Enter))
	b.until(`document.activeElement.id == "main"`)
	b.open("/targets")
	want := eval[int](b, `[...document.querySelectorAll("a,input:not([type=hidden]),button,select,[tabindex='0']")].filter((e) => e.checkVisibility()).length`)
	seen := make(map[string]bool)
	for range want {
		b.run(chromedp.KeyEvent(kb.Tab))
		seen[eval[string](b, `(() => { const e = document.activeElement, s = getComputedStyle(e); return s.outlineStyle == "none" || s.outlineWidth == "0px" ? "" : e.outerHTML + e.getBoundingClientRect().top; })()`)] = true
	}
	if delete(seen, ""); len(seen) != want {
		b.Errorf("%d of %d elements can have the focus and show it", len(seen), want)
	}
	b.run(chromedp.Focus(chromedp.CSS(`nav a[href="/history"]`)), chromedp.KeyEvent(kb.Enter))
	b.until(`location.pathname == "/history"`)
}

// withoutScript uses the page as it is without JavaScript.
func (b *browser) withoutScript(t *testing.T) {
	call(b, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	b.open("/targets")
	b.run(chromedp.SendKeys(chromedp.CSS(`input[type=search]`), "waiting"), chromedp.Click(chromedp.CSS(`button`)))
	await(t, func() error {
		address := value(b, chromedp.Location())
		if u, err := url.Parse(address); err != nil || u.Query().Get("q") != "waiting" {
			return fmt.Errorf("the address is %s", address)
		}
		return nil
	})
	text := value(b, chromedp.Text(chromedp.CSS(`tbody`)))
	if !strings.Contains(text, "waiting.conf") || strings.Contains(text, "checked.conf") || !strings.Contains(text, " UTC") {
		t.Errorf("without JavaScript it shows %q", text)
	}
	call(b, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{})
}

// Nothing serious is wrong for people who see little or nothing, light and dark; on a phone nothing sticks out.
func TestBrowserLooks(t *testing.T) {
	t.Parallel()
	axe := axeSource(t)
	b := newBrowser(t, serve(t, newServer(t, newSample(40, "")), Settings{}))
	for path, name := range map[string]string{
		"/": "overview", "/targets": "files", "/actions": "actions", "/queries": "queries", "/history": "history", "/targets/t0004": "file", "/targets/t0007": "held",
		"/actions/nginx": "action", "/queries/service-web": "query", "/history/3": "commit", "/history/4": "rejected", "/history?target=t0000&action=haproxy&q=app": "filtered",
	} {
		for _, light := range []string{"light", "dark"} {
			b.scheme(light)
			b.open(path)
			b.until(`document.querySelector("#live").textContent == "live"`)
			b.accessible(axe, name+" "+light)
			if slices.Contains([]string{"overview", "files", "rejected", "commit", "filtered", "action"}, name) {
				b.picture(name + "-" + light)
			}
		}
		b.run(chromedp.EmulateViewport(360, 740, chromedp.EmulateScale(2)))
		b.open(path)
		if wide := eval[int](b, `document.documentElement.scrollWidth`); wide > 360 {
			t.Errorf("%s is %d pixels wide on a phone", path, wide)
		}
		if slices.Contains([]string{"overview", "files", "rejected", "commit", "filtered", "action"}, name) {
			b.picture(name + "-narrow")
		}
		b.run(chromedp.EmulateViewport(1280, 900))
	}
}

// Names of strangers are text in a browser, too.
func TestBrowserHostile(t *testing.T) {
	t.Parallel()
	b := newBrowser(t, serve(t, newServer(t, newSample(24, `<img src=x onerror="document.title='owned'"><script>document.title='owned'</script>`+"\u202e"+strings.Repeat("wide", 2000))), Settings{}))
	for _, path := range []string{"/", "/targets", "/history/3", "/history/4", "/queries/key-motd", "/actions/nginx", `/?q="><script>document.title='owned'</script>`} {
		b.open(path)
		b.until(`document.querySelector("#live").textContent == "live"`)
		if n := eval[int](b, `document.querySelectorAll("img,script:not([src])").length`); n > 0 || eval[string](b, `document.title`) == "owned" {
			t.Errorf("%s: a name became markup", path)
		}
		if wide := eval[int](b, `document.documentElement.scrollWidth`); wide > 1280 {
			t.Errorf("%s is %d pixels wide", path, wide)
		}
	}
}

// 5,000 files: what the main thread of the browser does for the first paint, and for an update, in time of its processor: the machine may be busy.
func TestBrowserLarge(t *testing.T) {
	t.Parallel()
	e := newSample(5000, "")
	b := newBrowser(t, serve(t, newServer(t, e), Settings{}))
	call(b, performance.Enable, performance.EnableParams{TimeDomain: performance.EnableTimeDomainThreadTicks})
	used := func() time.Duration {
		for _, m := range call(b, performance.GetMetrics, cdp.Empty{}).Metrics {
			if m.Name == "TaskDuration" {
				return time.Duration(m.Value * float64(time.Second))
			}
		}
		t.Fatal("there is no TaskDuration")
		return 0
	}

	for _, path := range []string{"/", "/targets"} {
		before := used()
		b.open(path)
		b.until(`document.querySelector("#live").textContent == "live"`)
		first := used()
		if first >= before { // else another process of the browser shows the page
			first -= before
		}
		b.until(`performance.getEntriesByName("first-contentful-paint").length`)
		paint := eval[float64](b, `performance.getEntriesByName("first-contentful-paint")[0].startTime`)
		if first > 500*time.Millisecond {
			t.Errorf("%s needs %s until it is live", path, first)
		}

		best := time.Hour
		for i := range 5 {
			time.Sleep(300 * time.Millisecond) // until the last one is over
			before := used()
			changed := *e.snapshot.Load()
			changed.Targets = slices.Clone(changed.Targets)
			for j := range 20 {
				one := *changed.Targets[1+12*j]
				one.Error = fmt.Sprint("update ", i)
				changed.Targets[1+12*j] = &one
			}
			changed.Counts.Targets = map[status.State]int{status.Failed: i}
			changed.Line = fmt.Sprint("update ", i)
			e.set(&changed)
			b.until(fmt.Sprintf(`document.querySelector("#state").innerText == "update %d"`, i))
			best = min(best, used()-before)
		}
		t.Logf("%s: first paint after %.0f ms, %s of the main thread until it is live, %s for an update", path, paint, first, best)
		if best > 50*time.Millisecond {
			t.Errorf("%s: an update needs %s of the main thread", path, best)
		}
	}
}

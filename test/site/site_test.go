package site

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/jackc/pgx/v5"

	"walpurge/dev/testbed"
	"walpurge/dev/testbed/browser"
	"walpurge/internal/origin"
	"walpurge/test/rig"
)

// screenshotsEnv names the directory that the screenshots are left in; without it they go with the test.
const screenshotsEnv = "SCREENSHOTS"

// site is the listings service behind a proxy with the demo's own routes, and a window on it.
type site struct {
	*rig.Rig
	window
	shots string
}

// window is one page of a browser.
type window struct {
	t   *testing.T
	ctx context.Context
	url string
}

func newSite(t *testing.T) *site {
	t.Helper()
	demo, err := os.ReadFile("../../dev/demo/demo.yaml")
	if err != nil {
		t.Fatal(err)
	}
	_, routes, ok := strings.Cut(string(demo), "\nroutes:\n")
	if !ok {
		t.Fatal("no routes in the demo's configuration")
	}
	dbURL := testbed.Database(t)
	conn, err := pgx.Connect(t.Context(), dbURL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	if _, _, err := origin.Migrate(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
	if _, err := origin.Seed(t.Context(), conn, origin.SeedOptions{Listings: 300}); err != nil {
		t.Fatal(err)
	}
	r := rig.New(t, rig.Options{DBURL: dbURL, Extra: "server_timing: true\n", Routes: "routes:\n" + routes})
	r.CaughtUp()
	s := &site{Rig: r, window: window{t, browser.Start(t), r.URL}, shots: os.Getenv(screenshotsEnv)}
	if s.shots == "" {
		s.shots = t.TempDir()
	}
	return s
}

// another opens one more window.
func (s *site) another() window {
	ctx, cancel := chromedp.NewContext(s.window.ctx)
	s.window.t.Cleanup(cancel)
	// The first use makes the window, and ends it with the context that it is given.
	if err := chromedp.Do(ctx, chromedp.Navigate("about:blank")); err != nil {
		s.window.t.Fatal(err)
	}
	return window{s.window.t, ctx, s.window.url}
}

func (w window) do(steps ...chromedp.Action[chromedp.Void]) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, time.Minute)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		w.t.Fatal(err)
	}
}

func (w window) open(path string) {
	w.t.Helper()
	w.do(chromedp.Navigate(w.url + path))
}

// until waits for a condition in the page, which may be another page by then.
func (w window) until(what, condition string) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, time.Minute)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, err := chromedp.Run(ctx, chromedp.Evaluate[bool](condition)) // fails while a page makes way for the next
		if err == nil && ok {
			return
		}
		select {
		case <-ctx.Done():
			text, _ := chromedp.Run(w.ctx, chromedp.Evaluate[string](`document.body.innerText`))
			w.t.Fatalf("%s: %v\n%s", what, err, text)
		case <-tick.C:
		}
	}
}

// eval evaluates an expression in the page.
func eval[T any](w window, expression string) T {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, time.Minute)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		w.t.Fatalf("%s: %v", expression, err)
	}
	return v
}

// fill types a value over what a field holds.
func (w window) fill(field, value string) {
	w.t.Helper()
	eval[bool](w, fmt.Sprintf(`(document.getElementById(%q).value = "") === ""`, field))
	w.do(chromedp.SendKeys(chromedp.CSS("#"+field), value))
}

func (s *site) shoot(w window, name string) {
	w.t.Helper()
	png, err := chromedp.Run(w.ctx, chromedp.CaptureScreenshot())
	if err == nil {
		err = os.WriteFile(filepath.Join(s.shots, name+".png"), png, 0o600)
	}
	if err != nil {
		w.t.Errorf("screenshot %s: %v", name, err)
	}
}

// quiet fails the test for what the page says on the console as an error, and for what breaks its own policy.
func (w window) quiet() {
	messages := chromedp.Console(w.ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for m, err := range messages {
			if err != nil {
				return
			}
			if m.IsException() || m.Type == chromedp.ConsoleError {
				w.t.Errorf("console of %s: %s", m.URL, m)
			}
		}
	}()
	w.t.Cleanup(func() {
		_ = chromedp.Cancel(w.ctx)
		<-ended
	})
}

const shownText = `document.querySelector("main").innerText`

// TestSiteAsPeopleUseIt: they browse, filter, edit and rename; what they see in other windows is what was
// written, and pages that listen show it by themselves.
func TestSiteAsPeopleUseIt(t *testing.T) {
	s := newSite(t)
	reader, editor := s.window, s.another()
	reader.do(chromedp.EmulateViewport(1100, 760))
	editor.do(chromedp.EmulateViewport(1100, 760))
	reader.quiet()

	// Browse and filter.
	reader.open("/")
	s.shoot(reader, "home")
	reader.fill("city", "Lagos")
	reader.do(chromedp.Submit(chromedp.CSS("#city")))
	reader.until("the list of one city", `document.querySelector("h1").innerText === "Listings in Lagos"`)
	if other := eval[int](reader, `[...document.querySelectorAll(".card")].filter(c => !c.innerText.includes("Lagos")).length`); other > 0 {
		t.Errorf("%d cards of other cities", other)
	}
	s.shoot(reader, "list")

	// How it was answered. (A reload asks for a fresh copy.)
	reader.open("/listings?city=Lagos")
	reader.open("/listings?city=Lagos")
	reader.until("the footer tells of a hit", `document.getElementById("answered").innerText.includes("(hit)")`)
	reader.until("and of its position", `/as of position [0-9A-F]+\/[0-9A-F]+\.$/.test(document.getElementById("answered").innerText)`)

	// A live page changes by itself when somebody edits, and keeps the focus and the window's state.
	reader.open("/listings/1")
	reader.do(chromedp.Click(chromedp.CSS("#live a")))
	reader.until("it listens", `document.getElementById("live").innerText.includes("keeps itself up to date")`)
	eval[bool](reader, `document.querySelector("main a.button").focus(), window.sameDocument = true`)
	editor.open("/listings/1/edit")
	editor.fill("title", "Loud house by the road")
	editor.do(chromedp.Submit(chromedp.CSS("#title")))
	editor.until("the edit is saved", shownText+`.includes("Loud house by the road")`)
	reader.until("the live page shows the edit", shownText+`.includes("Loud house by the road")`)
	if !eval[bool](reader, `window.sameDocument === true && document.activeElement.matches("main a.button")`) {
		t.Error("the page was loaded anew, or lost the focus")
	}
	s.shoot(reader, "live")

	// Renaming an agent changes that agent's page and no other agent's.
	reader.open("/agents/1?live=1")
	reader.until("it listens", `document.getElementById("live").innerText.includes("keeps itself up to date")`)
	s.Warm("/agents/1", "/agents/2", "/agents/2?page=2")
	editor.open("/agents/1/edit")
	editor.fill("name", "Ada of the Lagoon")
	editor.do(chromedp.Submit(chromedp.CSS("#name")))
	editor.until("the name is saved", `document.querySelector("h1").innerText === "Ada of the Lagoon"`)
	reader.until("the live page shows the name", `document.querySelector("h1").innerText === "Ada of the Lagoon" && document.title.includes("Ada")`)
	s.StillHits("/agents/2", "/agents/2?page=2")
	s.shoot(reader, "agent")

	// Without ?live=1 a reload shows it.
	reader.open("/listings")
	shown := eval[string](reader, `document.querySelector(".card h3 a").getAttribute("href")`)
	editor.open(shown + "/edit")
	editor.fill("price", "123456")
	editor.do(chromedp.Submit(chromedp.CSS("#price")))
	editor.until("the price is saved", shownText+`.includes("123,456")`)
	reader.do(chromedp.Reload())
	reader.until("the reload shows the price", `document.querySelector(".card").innerText.includes("123,456")`)
}

// TestSiteFitsAPhone: at 360 pixels nothing is wider than the window, on any page.
func TestSiteFitsAPhone(t *testing.T) {
	s := newSite(t)
	s.Exec(`update listings set title = $1, description = $1 where id = 1`, strings.Repeat("Llanfairpwllgwyngyll", 8))
	w := s.window
	w.do(chromedp.EmulateViewport(360, 740, chromedp.EmulateMobile))
	for _, path := range []string{"/", "/listings", "/listings?city=Lagos&min_price=cheap", "/listings/1", "/listings/1/edit", "/listings/new", "/agents/1", "/agents/1/edit", "/nothing"} {
		w.open(path)
		if wide := eval[int](w, `document.documentElement.scrollWidth`); wide > 360 {
			t.Errorf("%s is %d pixels wide", path, wide)
		}
		// Fingers need 24 pixels (WCAG 2.2, 2.5.8); links within a sentence are exempt.
		if small := eval[string](w, `[...document.querySelectorAll("button, input, select, textarea, nav a, .tags a")].filter(e => { const b = e.getBoundingClientRect(); return b.width && b.height < 24 }).map(e => e.outerHTML).join()`); small != "" {
			t.Errorf("%s: too small to touch: %s", path, small)
		}
		if path == "/listings" || path == "/listings/1/edit" {
			s.shoot(w, "phone"+strings.ReplaceAll(path, "/", "-"))
		}
	}
}

// TestSiteByKeyboard: the first stop skips to the content, every stop shows that it has the focus, and
// a faulty form comes back with what was typed and the fault beside the field.
func TestSiteByKeyboard(t *testing.T) {
	s := newSite(t)
	w := s.window
	w.open("/listings")
	w.do(chromedp.KeyEvent(kb.Tab))
	w.until("the first stop is the skip link", `document.activeElement.matches(".skip") && document.activeElement.getBoundingClientRect().left >= 0`)
	w.do(chromedp.KeyEvent(kb.Enter))
	w.until("it leads to the content", `document.activeElement.id === "main"`)
	w.do(chromedp.KeyEvent(kb.Tab))
	w.until("the next stop is the search", `document.activeElement.id === "city"`)
	for i := range 8 {
		outline := eval[string](w, `getComputedStyle(document.activeElement).outlineStyle + " " + getComputedStyle(document.activeElement).outlineWidth`)
		if outline != "solid 3px" {
			t.Errorf("stop %d (%s) shows no focus: %s", i, eval[string](w, `document.activeElement.outerHTML`), outline)
		}
		w.do(chromedp.KeyEvent(kb.Tab))
	}

	w.open("/listings/new")
	for field, value := range map[string]string{"title": "A house", "price": "cheap", "city": "Lagos"} {
		w.fill(field, value)
	}
	w.do(chromedp.KeyEvent(kb.Enter))
	w.until("the fault stands beside the field", `document.getElementById("price-fault") !== null && document.getElementById("price").getAttribute("aria-describedby") === "price-fault"`)
	if got := eval[string](w, `["title", "price", "city"].map(f => document.getElementById(f).value).join()`); got != "A house,cheap,Lagos" {
		t.Errorf("what was typed is lost: %s", got)
	}
	s.shoot(w, "fault")
}

// TestSiteColoursHaveContrast: text stands out by 4.5 to 1 at least (WCAG 2.2, 1.4.3), in light and in dark.
func TestSiteColoursHaveContrast(t *testing.T) {
	s := newSite(t)
	for name, scheme := range map[string]int{"light": 1, "dark": 0} {
		w := window{t, browser.Start(t, chromedp.Flag("blink-settings", fmt.Sprintf("preferredColorScheme=%d", scheme))), s.window.url}
		w.do(chromedp.EmulateViewport(1100, 760))
		for _, path := range []string{"/listings?min_price=x", "/listings", "/listings/1", "/agents/1"} {
			w.open(path)
			if dark := eval[bool](w, `matchMedia("(prefers-color-scheme: dark)").matches`); dark != (name == "dark") {
				t.Fatalf("%s: dark is %t", name, dark)
			}
			if faint := eval[string](w, contrastScript); faint != "" {
				t.Errorf("%s %s: %s", name, path, faint)
			}
		}
		s.shoot(w, name)
	}
}

// contrastScript lists the elements whose own text is too faint on its ground.
const contrastScript = `(() => {
	const parts = (c) => c.match(/[\d.]+/g).map(Number);
	const light = (c) => { const [r, g, b] = parts(c).map(v => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
	const ground = (e) => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor; if ((parts(c)[3] ?? 1) === 1) return c; } return "rgb(255, 255, 255)"; };
	return [...document.querySelectorAll("body *")].filter(e => e.checkVisibility() && [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim())).map(e => {
		const a = light(getComputedStyle(e).color), b = light(ground(e));
		const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
		return ratio < 4.5 ? e.tagName + " " + e.className + " " + ratio.toFixed(2) : "";
	}).filter(Boolean).join("; ");
})()`

package main

import (
	"context"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

const htmlRoutes = `
  - path: /listings/{id}
    depends_on:
      - table: listings
        where: { id: path.id }
      - agents
  - path: /listings
    depends_on: [listings, agents]
`

// browser starts a headless Chromium that talks to nobody but this machine.
func browser(t *testing.T, more ...chromedp.ExecAllocatorOption) context.Context {
	t.Helper()
	var program string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			program = p
			break
		}
	}
	if program == "" {
		t.Fatal("no browser in PATH; make test installs chromium")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(program), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true), chromedp.Flag("disable-quic", true))
	options = append(options, more...)
	allocator, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(cancel)
	ctx, cancel := chromedp.NewContext(allocator)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx, chromedp.Navigate("about:blank")); err != nil {
		t.Fatalf("start the browser: %v", err)
	}
	return ctx
}

// TestEditInOneWindowShowsInAnother: a person edits a listing in one window;
// the other windows, which were answered from the cache, show it on reload.
func TestEditInOneWindowShowsInAnother(t *testing.T) {
	r := newRig(t, rigOptions{routes: rigRoutes + htmlRoutes})
	r.insert(1, "Quiet house by the lagoon", "Lagos", "house", 3, "100")
	r.caughtUp()
	r.warm("/listings/1", "/listings")
	reader := browser(t)
	editor, cancel := chromedp.NewContext(reader)
	defer cancel()

	shows := func(path, text string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(reader, time.Minute)
		defer cancel()
		if err := chromedp.Do(ctx, chromedp.Navigate(r.url+path)); err != nil {
			t.Fatal(err)
		}
		page, err := chromedp.Run(ctx, chromedp.Text(chromedp.CSS("main")))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(page, text) {
			t.Errorf("%s lacks %q: %s", path, text, page)
		}
	}
	shows("/listings/1", "Quiet house by the lagoon")
	shows("/listings", "Quiet house by the lagoon")
	if err := chromedp.Do(editor,
		chromedp.Navigate(r.url+"/listings/1/edit"),
		chromedp.SetValue(chromedp.CSS(`input[name="title"]`), "Loud house by the road"),
		chromedp.Submit(chromedp.CSS(`input[name="title"]`)),
		chromedp.WaitVisible(`//main[contains(., "Loud house by the road")]`)); err != nil {
		t.Fatalf("edit the listing: %v", err)
	}
	shows("/listings/1", "Loud house by the road")
	shows("/listings", "Loud house by the road")
}

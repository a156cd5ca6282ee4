package site

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"walpurge/dev/testbed/browser"
	"walpurge/test/rig"
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

// TestEditInOneWindowShowsInAnother: a person edits a listing in one window;
// the other windows, which were answered from the cache, show it on reload.
func TestEditInOneWindowShowsInAnother(t *testing.T) {
	r := rig.New(t, rig.Options{Routes: rig.Routes + htmlRoutes})
	r.Insert(1, "Quiet house by the lagoon", "Lagos", "house", 3, "100")
	r.CaughtUp()
	r.Warm("/listings/1", "/listings")
	reader := browser.Start(t)
	editor, cancel := chromedp.NewContext(reader)
	defer cancel()

	shows := func(path, text string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(reader, time.Minute)
		defer cancel()
		if err := chromedp.Do(ctx, chromedp.Navigate(r.URL+path)); err != nil {
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
		chromedp.Navigate(r.URL+"/listings/1/edit"),
		chromedp.SetValue(chromedp.CSS(`input[name="title"]`), "Loud house by the road"),
		chromedp.Submit(chromedp.CSS(`input[name="title"]`)),
		chromedp.WaitVisible(`//main[contains(., "Loud house by the road")]`)); err != nil {
		t.Fatalf("edit the listing: %v", err)
	}
	shows("/listings/1", "Loud house by the road")
	shows("/listings", "Loud house by the road")
}

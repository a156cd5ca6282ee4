package site

import (
	"context"
	"strconv"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// withoutScripts makes the window run no script of any page. What the test asks of a page still works.
func (w window) withoutScripts() {
	w.t.Helper()
	w.do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
		return err
	}))
}

// click clicks with the mouse and waits for the page that this leads to.
func (w window) click(selector, what, condition string) {
	w.t.Helper()
	w.do(chromedp.Click(chromedp.CSS(selector)))
	w.until(what, condition)
}

// TestSiteWithoutScripts: who browses with JavaScript switched off can do all that there is to do, and what they
// write shows on the pages that were cached before.
func TestSiteWithoutScripts(t *testing.T) {
	s := newSite(t)
	w := s.window
	w.withoutScripts()
	const heading = `document.querySelector("h1").innerText`
	const cards = `[...document.querySelectorAll(".card")]`

	w.open("/")
	if !eval[bool](w, `document.getElementById("answered").hidden && document.getElementById("live").hidden`) {
		t.Fatal("the page's script has run")
	}

	// Browse, page by page, and look at one.
	w.click(`nav a[href="/listings"]`, "the list", heading+` === "Listings"`)
	first := eval[string](w, cards+`[0].innerText`)
	w.click(`a[rel="next"]`, "the second page", `document.querySelector(".paging span").innerText === "Page 2"`)
	if eval[string](w, cards+`[0].innerText`) == first {
		t.Error("the second page begins as the first")
	}
	w.click(`a[rel="prev"]`, "the first page again", `document.querySelector(".paging span").innerText === "Page 1"`)
	title := eval[string](w, cards+`[0].querySelector("h3 a").innerText`)
	w.click(".card h3 a", "the first listing", heading+" === "+strconv.Quote(title))

	// Filter.
	w.open("/listings")
	w.fill("city", "Lagos")
	w.do(chromedp.SendKeys(chromedp.CSS("#type"), "House"))
	w.click(".search button", "houses in Lagos", heading+` === "House listings in Lagos"`)
	if n := eval[int](w, cards+`.filter(c => !/House .*· Lagos/.test(c.innerText)).length`); n > 0 {
		t.Errorf("%d cards are no houses in Lagos", n)
	}

	// Create: first with a fault.
	w.click(`nav a[href="/listings/new"]`, "the form", heading+` === "Add a listing"`)
	for field, value := range map[string]string{"title": "Hut on stilts", "price": "cheap", "city": "Makoko"} {
		w.fill(field, value)
	}
	w.click("form.edit button", "the fault beside the field", `document.getElementById("price-fault") !== null`)
	w.fill("price", "4711")
	w.click("form.edit button", "the new listing", heading+` === "Hut on stilts"`)
	listing := eval[string](w, `location.pathname`)
	s.CaughtUp()
	w.open("/listings")
	w.until("the list shows it", cards+`[0].innerText.includes("Hut on stilts")`)

	// Edit.
	w.click(".card h3 a", "its page", heading+` === "Hut on stilts"`)
	w.click("main a.button", "the form with it", `document.getElementById("title").value === "Hut on stilts"`)
	w.fill("title", "House on stilts")
	w.click("form.edit button", "the edited listing", heading+` === "House on stilts"`)
	s.CaughtUp()
	w.open("/listings")
	w.until("the list shows the edit", cards+`[0].innerText.includes("House on stilts")`)

	// Delete.
	w.open(listing + "/edit")
	w.do(chromedp.Click(chromedp.CSS(".danger summary")))
	w.click(".danger button", "the list", heading+` === "Listings"`)
	if eval[bool](w, cards+`.some(c => c.innerText.includes("on stilts"))`) {
		t.Error("the list shows what was deleted")
	}
	if got := s.Get(listing); got.Status != 404 {
		t.Errorf("%s after its deletion: %d", listing, got.Status)
	}
}

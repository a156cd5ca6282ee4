package site

import (
	"testing"

	"github.com/chromedp/chromedp"
)

const listens = `document.getElementById("live").innerText.includes("keeps itself up to date")`

// TestAgentsNewNameRefreshesThePagesThatShowIt: somebody renames an agent. The pages that show this agent, in
// HTML and in JSON, change on reload, and by themselves where they listen; those that show another stay hits.
func TestAgentsNewNameRefreshesThePagesThatShowIt(t *testing.T) {
	s := newSite(t)
	s.Exec(`update listings set agent_id = 2`)
	s.Exec(`update listings set agent_id = 1, city = 'Eko' where id in (1, 2)`)
	s.Exec(`update listings set city = 'Abuja', created_at = now() where id between 3 and 20`) // the newest: the front page
	s.CaughtUp()
	shown := []string{"/listings/1", "/listings/2", "/listings?city=Eko", "/api/listings/1", "/api/listings?city=Eko", "/api/agents/1"}
	others := []string{"/", "/listings/3", "/listings?city=Abuja", "/agents/2", "/api/listings/3", "/api/listings?city=Abuja", "/api/agents/2"}

	detail, list, other, editor := s.window, s.another(), s.another(), s.another()
	detail.quiet()
	for w, path := range map[window]string{detail: "/listings/1?live=1", list: "/listings?city=Eko&live=1", other: "/listings/3?live=1"} {
		w.open(path)
		w.until("it listens", listens)
		eval[bool](w, `window.sameDocument = true`)
	}
	told := s.Metric("walpurge_live_events_total")
	s.Warm(append(shown, others...)...)
	editor.open("/agents/1/edit")
	editor.fill("name", "Ada of the Lagoon")
	editor.do(chromedp.Submit(chromedp.CSS("#name")))
	editor.until("the name is saved", `document.querySelector("h1").innerText === "Ada of the Lagoon"`)

	for what, w := range map[string]window{"the listing": detail, "the list": list} {
		w.until(what+" shows the name by itself", shownText+`.includes("Ada of the Lagoon") && window.sameDocument === true`)
	}
	s.StillHits(others...)
	s.Misses(shown...)
	if n := s.Metric("walpurge_live_events_total") - told; n != 2 {
		t.Errorf("%v pages were told to refresh, want the two that show the agent", n)
	}
	other.open("/listings/3")
	other.until("the other agent's page is a hit", `document.getElementById("answered").innerText.includes("(hit)")`)
	list.open("/listings/2")
	list.until("another page of the agent shows the name", shownText+`.includes("Ada of the Lagoon")`)

	// Whoever is renamed next: the watch follows what is stored now.
	s.Exec(`update agents set name = 'Bola Ade' where id = 2`)
	s.Exec(`update agents set name = 'Ada Obi' where id = 1`)
	detail.until("the listing shows the next name", shownText+`.includes("Ada Obi") && window.sameDocument === true`)
}

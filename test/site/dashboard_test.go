package site

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"walpurge/dev/testbed"
	"walpurge/dev/testbed/browser"
	"walpurge/test/rig"
)

// witness notes what a page complains of, and what it asks of other hosts.
type witness struct {
	mu       sync.Mutex
	problems []string
}

func (w *witness) add(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.problems = append(w.problems, fmt.Sprintf(format, args...))
}

func watchPage(t *testing.T, page context.Context, host string) *witness {
	t.Helper()
	w := &witness{}
	if err := chromedp.Listen(page, func(ev any) {
		switch ev := ev.(type) {
		case *runtime.EventExceptionThrown:
			w.add("exception: %s", ev.ExceptionDetails.Text)
		case *runtime.EventConsoleAPICalled:
			if ev.Type == "error" || ev.Type == "warning" || ev.Type == "assert" {
				w.add("console %s", ev.Type)
			}
		case *log.EventEntryAdded: // violations of the Content-Security-Policy among them
			if ev.Entry.Level == "error" || ev.Entry.Level == "warning" {
				w.add("%s: %s %s", ev.Entry.Level, ev.Entry.Text, ev.Entry.URL)
			}
		case *network.EventRequestWillBeSent:
			if u, err := url.Parse(ev.Request.URL); err != nil || u.Scheme != "data" && u.Host != host {
				w.add("asks for %s", ev.Request.URL)
			}
		}
	}); err != nil {
		t.Fatal(err)
	}
	return w
}

// theme makes the page light or dark, as the person's system would.
func theme(name string) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}},
		})
		return err
	})
}

// TestDashboardShowsAnEdit: an edit of a row in the database is a change and a
// purge on the dashboard, between requests, URLs and processes; its boxes
// explain and purge, and nothing goes wrong in the browser meanwhile. With
// DASHBOARD_SCREENSHOTS=DIR the pictures are kept there, after a longer run.
func TestDashboardShowsAnEdit(t *testing.T) {
	pictures, snapshots := os.Getenv("DASHBOARD_SCREENSHOTS"), 4
	if pictures == "" {
		pictures = t.TempDir()
	} else {
		snapshots = 30
	}
	server := testbed.NewRedis(t, "--maxmemory", "512mb", "--maxmemory-policy", "volatile-lru")
	r := rig.New(t, rig.Options{Redis: server.URL(), Extra: "admin_token: secret\n", Proxies: 2})
	for id := 1; id <= 9; id++ {
		r.Insert(id, fmt.Sprintf("House %d", id), []string{"Lagos", "Accra", "Nairobi"}[id%3], "house", 3, "100")
	}
	r.CaughtUp()
	r.Warm("/api/listings/1", "/api/listings?city=Accra")

	admin, err := url.Parse(r.Admin)
	if err != nil {
		t.Fatal(err)
	}
	page, cancel := context.WithTimeout(browser.Start(t), 3*time.Minute)
	defer cancel()
	saw := watchPage(t, page, admin.Host)
	do := func(what string, steps ...chromedp.Action[chromedp.Void]) {
		t.Helper()
		if err := chromedp.Do(page, steps...); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	is := func(expression string) bool {
		t.Helper()
		ok, err := chromedp.Run(page, chromedp.Evaluate[bool](expression))
		if err != nil {
			t.Fatalf("%s: %v", expression, err)
		}
		return ok
	}
	do("open the page", chromedp.EmulateViewport(1200, 900), theme("light"), chromedp.Navigate(r.Admin+"/"),
		chromedp.WaitVisible(`//p[@id="ready" and text()="Ready"]`))
	r.Exec(`update listings set title = 'Loud house by the road' where id = 1`)
	do("see the edit", chromedp.WaitVisible(`//tbody[@id="changes"]/tr[td[2]="public.listings" and td[3]="update" and td[4]="1" and td[5]="2"]`),
		chromedp.WaitVisible(`//tbody[@id="tables"]/tr[td[1]="public.listings" and number(td[3]) > 0]`))

	// Traffic goes on until the charts have something to show.
	n := 0
	pace := time.NewTicker(20 * time.Millisecond)
	defer pace.Stop()
	for end := time.Now().Add(2 * time.Minute); !is(fmt.Sprintf("history.length > %d", snapshots)); n++ {
		if time.Now().After(end) {
			t.Fatal("no snapshots arrive")
		}
		<-pace.C
		for range 1 + n/50%5 {
			r.Get("/api/listings/1")
			r.Get("/api/listings?city=Accra")
			r.Get(fmt.Sprint("/api/listings/", 1+n%9))
		}
		if n%25 == 0 {
			r.Exec(`update listings set price = price + 1 where id = $1`, 1+n%9)
		}
	}
	do("see charts, URLs and processes", chromedp.WaitVisible(chromedp.CSS("#chart-ratio canvas")), chromedp.WaitVisible(chromedp.CSS("#chart-rate canvas")),
		chromedp.WaitVisible(`//tbody[@id="keys"]/tr[contains(td[1], "/api/listings/1")]`),
		chromedp.WaitVisible(`//tbody[@id="servers"]/tr[contains(td[2], "MiB") and td[3]="512 MiB" and td[4]="volatile-lru" and number(td[5]) >= 0 and td[6]="0"]`),
		chromedp.WaitVisible(`//p[@id="redis-note" and contains(., "This process has written")]`),
		chromedp.WaitVisible(`//tbody[@id="members"]/tr[td[2]="leader"]`), chromedp.WaitVisible(`//tbody[@id="members"]/tr[td[2]="follower"]`))
	do("explain a URL", chromedp.SetValue(chromedp.CSS("#explain-url"), "/api/listings?city=Lagos&min_price=100"), chromedp.Click(chromedp.CSS("#explain button")),
		chromedp.WaitVisible(`//dl[@id="explanation"]/dd[contains(., "city = 'Lagos'")]`))
	do("purge", chromedp.SetValue(chromedp.CSS("#purge-groups"), "front"), chromedp.SetValue(chromedp.CSS("#purge-token"), "secret"),
		chromedp.Click(chromedp.CSS("#purge button")), chromedp.WaitVisible(`//p[@id="purged" and contains(., "Purged front at position")]`))

	for _, shot := range []struct {
		name, theme   string
		width, height int64
	}{{"dashboard-light", "light", 1200, 1300}, {"dashboard-dark", "dark", 1200, 1300}, {"dashboard-phone", "dark", 390, 844}} {
		do(shot.name, theme(shot.theme), chromedp.EmulateViewport(shot.width, shot.height), chromedp.WaitVisible(chromedp.CSS("#chart-rate canvas")))
		r.Eventually("the charts fit", func() bool {
			return is(`(scrollTo(0, 0), scrollY === 0) && plots.size === 3 && [...plots].every(([id, p]) => p.width === document.getElementById(id).clientWidth && p.status === 1)`)
		})
		if !is(`document.documentElement.scrollWidth <= innerWidth`) {
			t.Errorf("%s: the page is wider than the window", shot.name)
		}
		// The next frame has what was set in this one.
		do("wait for a frame", chromedp.Evaluate[chromedp.Void]("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done())))", chromedp.EvalAwaitPromise))
		picture, err := chromedp.Run(page, chromedp.CaptureScreenshot())
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(pictures, shot.name+".png"), picture, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	saw.mu.Lock()
	defer saw.mu.Unlock()
	for _, problem := range saw.problems {
		t.Error(problem)
	}
}

package browser

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

func TestBrowserShowsAPage(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("<!doctype html><title>a page</title><script>document.title += ' with a script'</script>"))
	}))
	defer server.Close()
	ctx, cancel := context.WithTimeout(Start(t, chromedp.WindowSize(400, 300)), time.Minute)
	defer cancel()
	if err := chromedp.Do(ctx, chromedp.Navigate(server.URL)); err != nil {
		t.Fatal(err)
	}
	if title, err := chromedp.Run(ctx, chromedp.Title()); err != nil || title != "a page with a script" {
		t.Errorf("%q, %v", title, err)
	}
}

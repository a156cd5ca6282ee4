package scenario

import (
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"strings"
	"testing"
	"time"

	"walpurge/dev/testbed"
	"walpurge/test/rig"
)

// TestReadYourWrites: a client that carries the position of its own write
// never gets an older response, though the listener lags behind.
func TestReadYourWrites(t *testing.T) {
	db := testbed.Database(t)
	cable, throughCable := rig.NewCable(t, db)
	r := rig.New(t, rig.Options{DBURL: db, PgURL: throughCable, Extra: "max_lag: 1h\nstrict_wait: 50ms\n"})
	r.Insert(1, "old", "Lagos", "house", 3, "100")
	r.CaughtUp()
	r.Warm("/api/listings/1")

	patch := func(title string) string {
		t.Helper()
		req, err := http.NewRequest("PATCH", r.URL+"/api/listings/1", strings.NewReader(`{"title":"`+title+`"}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		resp, err := r.Client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != 200 {
			t.Fatalf("status %d", resp.StatusCode)
		}
		return resp.Header.Get("Walpurge-Position")
	}
	token := patch("first")
	if !strings.HasPrefix(token, r.Status().Position.Epoch+".") {
		t.Fatalf("position %q in epoch %s", token, r.Status().Position.Epoch)
	}
	if p := r.Get("/api/listings/1", "Walpurge-Position", token); !strings.Contains(p.Body, `"first"`) {
		t.Errorf("%q %s", p.Header.Get("Cache-Status"), p.Body)
	}
	r.CaughtUp()
	const list = "/api/listings?city=Lagos"
	r.Warm("/api/listings/1", list)
	if p := r.Get("/api/listings/1", "Walpurge-Position", token); !p.Hit() {
		t.Errorf("a position that is covered is no reason to miss: %q", p.Header.Get("Cache-Status"))
	}

	// A write that the proxy can't know of yet: with max_lag of an hour the old
	// page is a legal hit, but not for who carries a position.
	cable.Stall()
	r.Exec(`update listings set title = 'second' where id = 1`)
	if p := r.Get("/api/listings/1"); !p.Hit() || !strings.Contains(p.Body, `"first"`) {
		t.Fatalf("without a position: %q %s", p.Header.Get("Cache-Status"), p.Body)
	}
	var ahead string
	if err := r.DB.QueryRow(t.Context(), `select pg_current_wal_flush_lsn()::text`).Scan(&ahead); err != nil {
		t.Fatal(err)
	}
	epoch := r.Status().Position.Epoch
	for _, token := range []string{epoch + "." + ahead, "00000000000000ff.0/1", epoch + ".FFFFFFFF/FFFFFFFF", "nonsense", token + ", " + epoch + "." + ahead} {
		if p := r.Get("/api/listings/1", "Walpurge-Position", token); p.Hit() || !strings.Contains(p.Body, `"second"`) {
			t.Errorf("with %q: %q %s", token, p.Header.Get("Cache-Status"), p.Body)
		}
	}

	// A write whose position can't be told covers itself all the same.
	if token = patch("third"); token != "0000000000000000.0/0" {
		t.Errorf("position %q", token)
	}
	if p := r.Get(list); !p.Hit() || !strings.Contains(p.Body, `"first"`) {
		t.Fatalf("without a position: %q %s", p.Header.Get("Cache-Status"), p.Body)
	}
	if p := r.Get(list, "Walpurge-Position", token); p.Hit() || !strings.Contains(p.Body, `"third"`) {
		t.Errorf("with %q: %q %s", token, p.Header.Get("Cache-Status"), p.Body)
	}
	cable.Flow()
	r.CaughtUp()
	r.Warm(list)
	r.Eventually("a hit again", func() bool {
		p := r.Get(list, "Walpurge-Position", token)
		if !strings.Contains(p.Body, `"third"`) {
			t.Fatalf("with %q: %q %s", token, p.Header.Get("Cache-Status"), p.Body)
		}
		return p.Hit()
	})
}

// TestBrowserReadsItsOwnWritesAnywhere: a browser writes through one proxy and
// reads through the other with nothing but its cookies, and always sees what it
// wrote; the next one sees it too.
func TestBrowserReadsItsOwnWritesAnywhere(t *testing.T) {
	r := rig.New(t, rig.Options{
		Redis: testbed.SharedRedis(t), Proxies: 2,
		Extra: "max_lag: 1h\nposition:\n  cookie: at\n  secret: 0123456789abcdef\n  max_age: 2h\nstrict_wait: 10s\n",
	})
	both := []*rig.Rig{r, r.Peers[0]}
	r.Insert(1, "old", "Lagos", "house", 3, "100")
	for _, p := range both {
		p.CaughtUp()
		p.Warm("/api/listings/1")
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser := &http.Client{Jar: jar, Transport: r.Client.Transport}
	ask := func(method string, p *rig.Rig, body string) rig.Reply {
		t.Helper()
		req, err := http.NewRequest(method, p.URL+"/api/listings/1", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		resp, err := browser.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != 200 {
			t.Fatalf("%s: %s, %v", method, resp.Status, err)
		}
		return rig.Reply{Status: resp.StatusCode, Header: resp.Header, Body: string(text)}
	}
	const writes = 100
	hits, reads, longest := 0, 0, time.Duration(0)
	for i := range writes {
		title := fmt.Sprintf(`"title":"written %d"`, i)
		w := ask("PATCH", both[i%2], "{"+title+"}")
		if got := w.Header["Set-Cookie"]; len(got) != 1 || !strings.HasPrefix(got[0], "at="+w.Header.Get("Walpurge-Position")+"; Path=/; Max-Age=7200; HttpOnly; SameSite=Lax") {
			t.Fatalf("Set-Cookie %q, position %q", got, w.Header.Get("Walpurge-Position"))
		}
		read := func(p *rig.Rig) bool {
			began := time.Now()
			got := ask("GET", p, "")
			longest = max(longest, time.Since(began))
			if !strings.Contains(got.Body, title) {
				t.Fatalf("after the write of %s: %q %s", title, got.Header.Get("Cache-Status"), got.Body)
			}
			reads++
			if got.Hit() {
				hits++
			}
			return got.Hit()
		}
		read(both[1-i%2])
		read(both[i%2])
		if i%10 == 0 { // once it is settled, the position is no reason to miss
			for _, p := range both {
				r.Eventually("a hit with the position", func() bool { return read(p) })
			}
		}
	}
	testbed.Measured(t, "%d of %d reads after %d own writes, through two proxies, were hits; the longest took %v", hits, reads, writes, longest)

	// A position that nobody has given makes nobody wait: it is read strictly,
	// and so is a hit long before strict_wait is over.
	for _, p := range both {
		p.CaughtUp()
		p.Warm("/api/listings/1")
		epoch := p.Status().Position.Epoch
		for _, token := range []string{epoch + ".FFFFFFFF/FFFFFFFF", epoch + ".0/1", epoch + ".0/1.AAAAAAAAAAAAAAAAAAAAAA", "00000000000000ff.0/1", "x"} {
			if got := p.Get("/api/listings/1", "Walpurge-Position", token); !got.Hit() {
				t.Errorf("%s: %q", token, got.Header.Get("Cache-Status"))
			}
		}
	}
}

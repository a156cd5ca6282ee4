package sidecar

import (
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"strings"
	"testing"
	"time"

	"walpurge/dev/testbed"
)

// TestReadYourWrites: a client that carries the position of its own write
// never gets an older response, though the listener lags behind.
func TestReadYourWrites(t *testing.T) {
	db := testbed.Database(t)
	cable, throughCable := newCable(t, db)
	r := newRig(t, rigOptions{dbURL: db, pgURL: throughCable, extra: "max_lag: 1h\nstrict_wait: 50ms\n"})
	r.insert(1, "old", "Lagos", "house", 3, "100")
	r.caughtUp()
	r.warm("/api/listings/1")

	patch := func(title string) string {
		t.Helper()
		req, err := http.NewRequest("PATCH", r.url+"/api/listings/1", strings.NewReader(`{"title":"`+title+`"}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		resp, err := r.client.Do(req)
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
	if !strings.HasPrefix(token, r.status().Position.Epoch+".") {
		t.Fatalf("position %q in epoch %s", token, r.status().Position.Epoch)
	}
	if p := r.get("/api/listings/1", "Walpurge-Position", token); !strings.Contains(p.body, `"first"`) {
		t.Errorf("%q %s", p.header.Get("Cache-Status"), p.body)
	}
	r.caughtUp()
	const list = "/api/listings?city=Lagos"
	r.warm("/api/listings/1", list)
	if p := r.get("/api/listings/1", "Walpurge-Position", token); !p.hit() {
		t.Errorf("a position that is covered is no reason to miss: %q", p.header.Get("Cache-Status"))
	}

	// A write that the proxy can't know of yet: with max_lag of an hour the old
	// page is a legal hit, but not for who carries a position.
	cable.stall()
	r.exec(`update listings set title = 'second' where id = 1`)
	if p := r.get("/api/listings/1"); !p.hit() || !strings.Contains(p.body, `"first"`) {
		t.Fatalf("without a position: %q %s", p.header.Get("Cache-Status"), p.body)
	}
	var ahead string
	if err := r.db.QueryRow(t.Context(), `select pg_current_wal_flush_lsn()::text`).Scan(&ahead); err != nil {
		t.Fatal(err)
	}
	epoch := r.status().Position.Epoch
	for _, token := range []string{epoch + "." + ahead, "00000000000000ff.0/1", epoch + ".FFFFFFFF/FFFFFFFF", "nonsense", token + ", " + epoch + "." + ahead} {
		if p := r.get("/api/listings/1", "Walpurge-Position", token); p.hit() || !strings.Contains(p.body, `"second"`) {
			t.Errorf("with %q: %q %s", token, p.header.Get("Cache-Status"), p.body)
		}
	}

	// A write whose position can't be told covers itself all the same.
	if token = patch("third"); token != "0000000000000000.0/0" {
		t.Errorf("position %q", token)
	}
	if p := r.get(list); !p.hit() || !strings.Contains(p.body, `"first"`) {
		t.Fatalf("without a position: %q %s", p.header.Get("Cache-Status"), p.body)
	}
	if p := r.get(list, "Walpurge-Position", token); p.hit() || !strings.Contains(p.body, `"third"`) {
		t.Errorf("with %q: %q %s", token, p.header.Get("Cache-Status"), p.body)
	}
	cable.flow()
	r.caughtUp()
	r.warm(list)
	r.eventually("a hit again", func() bool {
		p := r.get(list, "Walpurge-Position", token)
		if !strings.Contains(p.body, `"third"`) {
			t.Fatalf("with %q: %q %s", token, p.header.Get("Cache-Status"), p.body)
		}
		return p.hit()
	})
}

// TestBrowserReadsItsOwnWritesAnywhere: a browser writes through one proxy and
// reads through the other with nothing but its cookies, and always sees what it
// wrote; the next one sees it too.
func TestBrowserReadsItsOwnWritesAnywhere(t *testing.T) {
	r := newRig(t, rigOptions{
		redis: testbed.SharedRedis(t), proxies: 2,
		extra: "max_lag: 1h\nposition:\n  cookie: at\n  secret: 0123456789abcdef\n  max_age: 2h\nstrict_wait: 10s\n",
	})
	both := []*rig{r, r.peers[0]}
	r.insert(1, "old", "Lagos", "house", 3, "100")
	for _, p := range both {
		p.caughtUp()
		p.warm("/api/listings/1")
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser := &http.Client{Jar: jar, Transport: r.client.Transport}
	ask := func(method string, p *rig, body string) reply {
		t.Helper()
		req, err := http.NewRequest(method, p.url+"/api/listings/1", strings.NewReader(body))
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
		return reply{resp.StatusCode, resp.Header, string(text)}
	}
	const writes = 100
	hits, reads, longest := 0, 0, time.Duration(0)
	for i := range writes {
		title := fmt.Sprintf(`"title":"written %d"`, i)
		w := ask("PATCH", both[i%2], "{"+title+"}")
		if got := w.header["Set-Cookie"]; len(got) != 1 || !strings.HasPrefix(got[0], "at="+w.header.Get("Walpurge-Position")+"; Path=/; Max-Age=7200; HttpOnly; SameSite=Lax") {
			t.Fatalf("Set-Cookie %q, position %q", got, w.header.Get("Walpurge-Position"))
		}
		read := func(p *rig) bool {
			began := time.Now()
			got := ask("GET", p, "")
			longest = max(longest, time.Since(began))
			if !strings.Contains(got.body, title) {
				t.Fatalf("after the write of %s: %q %s", title, got.header.Get("Cache-Status"), got.body)
			}
			reads++
			if got.hit() {
				hits++
			}
			return got.hit()
		}
		read(both[1-i%2])
		read(both[i%2])
		if i%10 == 0 { // once it is settled, the position is no reason to miss
			for _, p := range both {
				r.eventually("a hit with the position", func() bool { return read(p) })
			}
		}
	}
	testbed.Measured(t, "%d of %d reads after %d own writes, through two proxies, were hits; the longest took %v", hits, reads, writes, longest)

	// A position that nobody has given makes nobody wait: it is read strictly,
	// and so is a hit long before strict_wait is over.
	for _, p := range both {
		p.caughtUp()
		p.warm("/api/listings/1")
		epoch := p.status().Position.Epoch
		for _, token := range []string{epoch + ".FFFFFFFF/FFFFFFFF", epoch + ".0/1", epoch + ".0/1.AAAAAAAAAAAAAAAAAAAAAA", "00000000000000ff.0/1", "x"} {
			if got := p.get("/api/listings/1", "Walpurge-Position", token); !got.hit() {
				t.Errorf("%s: %q", token, got.header.Get("Cache-Status"))
			}
		}
	}
}

#!/usr/bin/env bash
# Subject:  what a write does to the stored GET of the same URL in Go's httpcache, and which Cache-Control lines it reads.
# Version:  github.com/gregjones/httpcache v0.0.0-20190611155906-901d90724c79.
# Expected: a PUT or POST that succeeds drops the stored response of its URL (RFC 9111, 4.4; the code deletes a key after
#           an unsafe method), and a second line "Cache-Control: no-store" counts like the first (RFC 9110, 5.3).
# Seen:     the client reads its own old value after its own PUT and POST until the lifetime ends, since the key deleted
#           has the method in it and a GET's has not. A response with the lines max-age=60 and no-store is stored and
#           reused: only the first line is read.
# Matters:  API clients built on it (it is in many command-line tools) show what was there before their own change, and
#           a proxy that adds its own line after the origin's can't forbid storing.
set -euo pipefail

dir=$(mktemp -d)
cleanup() {
	chmod -R u+w "$dir"
	rm -rf "$dir"
}
trap cleanup EXIT
cd "$dir"
cat >main.go <<'GO'
package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"

	"github.com/gregjones/httpcache"
)

func main() {
	var mu sync.Mutex
	values := map[string]string{}
	reads := 0
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case r.Method != http.MethodGet:
			body, _ := io.ReadAll(r.Body)
			values[r.URL.Path] = string(body)
		case r.URL.Path == "/two-lines":
			reads++
			w.Header().Add("Cache-Control", "max-age=60")
			w.Header().Add("Cache-Control", "no-store")
			fmt.Fprint(w, "read ", reads)
		default:
			w.Header().Set("Cache-Control", "max-age=60")
			fmt.Fprintf(w, "%q", values[r.URL.Path])
		}
	}))
	defer origin.Close()
	client := httpcache.NewMemoryCacheTransport().Client()
	do := func(method, path, body string) string {
		req, err := http.NewRequest(method, origin.URL+path, strings.NewReader(body))
		if err != nil {
			panic(err)
		}
		res, err := client.Do(req)
		if err != nil {
			panic(err)
		}
		defer res.Body.Close()
		got, err := io.ReadAll(res.Body)
		if err != nil {
			panic(err)
		}
		return string(got)
	}
	changed := false
	for _, method := range []string{http.MethodPut, http.MethodPost} {
		path := "/" + method
		before := do(http.MethodGet, path, "")
		do(method, path, "new")
		after := do(http.MethodGet, path, "")
		fmt.Printf("GET %s, then %s \"new\", then GET %s\n", before, method, after)
		changed = changed || after != `""`
	}
	first, second := do(http.MethodGet, "/two-lines", ""), do(http.MethodGet, "/two-lines", "")
	fmt.Printf("lines max-age=60 and no-store: %s, then %s\n", first, second)
	if changed || second != "read 1" {
		fmt.Fprintln(os.Stderr, "changed")
		os.Exit(1)
	}
}
GO
go mod init finding >/dev/null 2>&1
go get github.com/gregjones/httpcache@v0.0.0-20190611155906-901d90724c79 >/dev/null 2>&1
go list -m github.com/gregjones/httpcache
go run .

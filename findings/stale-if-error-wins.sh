#!/usr/bin/env bash
# Subject:  "must-revalidate" beside "stale-if-error" in client-side caches.
# Version:  cacheable-request 13.0.19 with http-cache-semantics 4.3.0, undici 7.30.2 (npm),
#           github.com/gregjones/httpcache v0.0.0-20190611155906-901d90724c79 (Go).
# Expected: must-revalidate forbids any stale answer (RFC 9111, 4.2.4 and 5.2.2.2), so the origin's 500 is passed on.
# Seen:     undici does so; cacheable-request and httpcache serve the expired response as if it were good, without a
#           Warning and with no sign but (in Node) the Age.
# Matters:  must-revalidate is put on balances, rights and stock so that an old value is never shown; a proxy or a
#           framework that adds stale-if-error for the whole site undoes it in these two.
set -euo pipefail

dir=$(mktemp -d)
cleanup() {
	chmod -R u+w "$dir"
	rm -rf "$dir"
}
trap cleanup EXIT
npm install --silent --no-audit --no-fund --prefix "$dir" cacheable-request@13.0.19 http-cache-semantics@4.3.0 undici@7.30.2 >/dev/null

mkdir "$dir/go"
cat >"$dir/go/main.go" <<'GO'
package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/gregjones/httpcache"
)

func main() {
	client := httpcache.NewMemoryCacheTransport().Client()
	for i := range 2 {
		if i == 1 {
			time.Sleep(2100 * time.Millisecond)
		}
		res, err := client.Get(os.Args[1])
		if err != nil {
			panic(err)
		}
		body, err := io.ReadAll(res.Body)
		if err != nil {
			panic(err)
		}
		fmt.Printf("httpcache: %d %s\n", res.StatusCode, body)
	}
}
GO
(
	cd "$dir/go"
	go mod init finding >/dev/null 2>&1
	go get github.com/gregjones/httpcache@v0.0.0-20190611155906-901d90724c79 >/dev/null 2>&1
	go build -o cache .
	echo "cacheable-request 13.0.19, http-cache-semantics 4.3.0, undici 7.30.2, httpcache v0.0.0-20190611155906-901d90724c79"
)

cat >"$dir/run.mjs" <<'JS'
import http from 'node:http';
import { spawn } from 'node:child_process';
import CacheableRequest from 'cacheable-request';
import { Agent, interceptors, request } from 'undici';
const asked = {};
const origin = http.createServer((req, res) => {
  asked[req.url] = (asked[req.url] || 0) + 1;
  if (asked[req.url] > 1) {
    res.writeHead(500);
    return res.end('failed');
  }
  res.writeHead(200, { 'Cache-Control': 'max-age=1, must-revalidate, stale-if-error=60', ETag: '"v"' });
  res.end('good');
});
await new Promise((ok) => origin.listen(0, '127.0.0.1', ok));
const base = `http://127.0.0.1:${origin.address().port}`;
const wait = () => new Promise((ok) => setTimeout(ok, 2100));
const seen = [];
const say = (line) => { console.log(line); seen.push(line); };

const cached = new CacheableRequest(http.request).request();
const viaRequest = () => new Promise((ok, fail) => {
  const emitter = cached({ host: '127.0.0.1', port: origin.address().port, path: '/a' }, async (res) => {
    let body = '';
    for await (const chunk of res) body += chunk;
    ok(`cacheable-request: ${res.statusCode} ${body}`);
  });
  emitter.on('error', fail);
  emitter.on('request', (req) => req.end());
});
const dispatcher = new Agent().compose(interceptors.cache({ type: 'shared' }));
const viaUndici = async () => {
  const res = await request(`${base}/b`, { dispatcher });
  return `undici: ${res.statusCode} ${await res.body.text()}`;
};
const go = spawn(process.argv[2], [`${base}/c`], { stdio: ['ignore', 'pipe', 'inherit'] });
let goOut = '';
go.stdout.on('data', (d) => { goOut += d; });
const goEnd = new Promise((ok) => go.on('close', ok));
say(await viaRequest());
say(await viaUndici());
await wait();
say(await viaRequest());
say(await viaUndici());
await goEnd;
goOut.trim().split('\n').forEach(say);
origin.close();
origin.closeAllConnections();
await dispatcher.close();
const expected = ['cacheable-request: 200 good', 'undici: 200 good', 'cacheable-request: 200 good', 'undici: 500 failed',
  'httpcache: 200 good', 'httpcache: 200 good'];
if (seen.join() !== expected.join() || Object.values(asked).some((n) => n !== 2)) {
  console.error('changed', asked);
  process.exitCode = 1;
}
JS
node "$dir/run.mjs" "$dir/go/cache"

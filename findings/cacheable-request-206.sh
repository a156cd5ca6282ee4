#!/usr/bin/env bash
# Subject:  npm's cacheable-request and a 206 (Partial Content) with a lifetime.
# Version:  cacheable-request 13.0.19 with http-cache-semantics 4.3.0.
# Expected: a range's answer is either not stored or used for that range only (RFC 9111, 3.3 and 3.4), so a plain GET
#           afterwards gets the whole resource from the origin.
# Seen:     the plain GET is answered from the cache with the stored 206 and its two bytes; the origin isn't asked.
# Matters:  one client that resumes a download leaves a stump for every later reader in that process, until it expires,
#           and a caller that looks at "ok" (2xx) only takes it for the whole.
set -euo pipefail

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
npm install --silent --no-audit --no-fund --prefix "$dir" cacheable-request@13.0.19 http-cache-semantics@4.3.0 >/dev/null

cat >"$dir/run.mjs" <<'JS'
import http from 'node:http';
import { createRequire } from 'node:module';
import CacheableRequest from 'cacheable-request';
const require = createRequire(import.meta.url);
for (const name of ['cacheable-request', 'http-cache-semantics']) {
  const file = new URL(`node_modules/${name}/package.json`, import.meta.url).pathname;
  console.log(name, require(file).version);
}
let asked = 0;
const origin = http.createServer((req, res) => {
  asked++;
  const common = { 'Cache-Control': 'max-age=60', ETag: '"v"' };
  if (req.headers.range === 'bytes=0-1') {
    res.writeHead(206, { ...common, 'Content-Range': 'bytes 0-1/10', 'Content-Length': 2 });
    return res.end('01');
  }
  res.writeHead(200, { ...common, 'Content-Length': 10 });
  res.end('0123456789');
});
await new Promise((ok) => origin.listen(0, '127.0.0.1', ok));
const request = new CacheableRequest(http.request).request();
const get = (headers) => new Promise((ok, fail) => {
  const emitter = request({ host: '127.0.0.1', port: origin.address().port, path: '/file', headers }, async (res) => {
    let body = '';
    for await (const chunk of res) body += chunk;
    ok({ status: res.statusCode, body, fromCache: res.fromCache === true });
  });
  emitter.on('error', fail);
  emitter.on('request', (req) => req.end());
});
console.log('GET with Range: bytes=0-1:', await get({ Range: 'bytes=0-1' }));
const whole = await get({});
console.log('GET without Range:        ', whole);
console.log('requests at the origin:   ', asked);
origin.close();
origin.closeAllConnections();
if (!(whole.status === 206 && whole.body === '01' && whole.fromCache && asked === 1)) {
  console.error('changed');
  process.exitCode = 1;
}
JS
node "$dir/run.mjs"

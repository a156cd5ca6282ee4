#!/usr/bin/env bash
# Subject:  axios-cache-interceptor and "immutable" beside a short max-age.
# Version:  axios-cache-interceptor 1.12.3 with axios 1.21.1 (npm).
# Expected: immutable says only that no revalidation is needed while the response is fresh (RFC 8246), so with
#           "max-age=10, immutable" the response is kept for ten seconds.
# Seen:     it is kept for 365 days, whatever max-age says; without the word it is kept for the ten seconds.
# Matters:  an API that marks each ten-second snapshot immutable is read once a year by such a client.
set -euo pipefail

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
npm install --silent --no-audit --no-fund --prefix "$dir" axios@1.21.1 axios-cache-interceptor@1.12.3 >/dev/null

cat >"$dir/run.mjs" <<'JS'
import http from 'node:http';
import { readFileSync } from 'node:fs';
import axios from 'axios';
import { setupCache } from 'axios-cache-interceptor';
for (const name of ['axios', 'axios-cache-interceptor']) {
  console.log(name, JSON.parse(readFileSync(new URL(`node_modules/${name}/package.json`, import.meta.url))).version);
}
const fields = ['max-age=10', 'max-age=10, immutable', 'max-age=1, immutable'];
const asked = fields.map(() => 0);
const origin = http.createServer((req, res) => {
  const i = Number(req.url.slice(1));
  res.writeHead(200, { 'Cache-Control': fields[i] });
  res.end(`answer ${++asked[i]}`);
});
await new Promise((ok) => origin.listen(0, '127.0.0.1', ok));
const client = setupCache(axios.create({ baseURL: `http://127.0.0.1:${origin.address().port}` }));
const kept = [];
for (let i = 0; i < fields.length; i++) {
  const res = await client.get(`/${i}`);
  const { ttl } = await client.storage.get(res.id);
  kept.push(ttl / 1000);
  console.log(`${fields[i].padEnd(22)} kept for ${ttl / 1000} s`);
}
await new Promise((ok) => setTimeout(ok, 1500));
const late = await client.get('/2');
console.log(`max-age=1, immutable, 1.5 s later: ${late.data}, ${late.cached ? 'from the cache' : 'from the origin'}`);
origin.close();
origin.closeAllConnections();
if (kept.join() !== '10,31536000,31536000' || !late.cached || asked[2] !== 1) {
  console.error('changed');
  process.exitCode = 1;
}
JS
node "$dir/run.mjs"

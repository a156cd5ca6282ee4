#!/usr/bin/env bash
# Subject:  what http-cache-semantics keeps of a 304's header fields.
# Version:  http-cache-semantics 4.3.0 (npm; the policy inside got, cacheable-request, make-fetch-happen).
# Expected: every field of the 304 is taken over (RFC 9111, 3.2), new ones too.
# Seen:     only fields that the stored response had already are replaced. A Cache-Control that the origin sends for the
#           first time with the 304 is dropped: with no-store it stays stored, with max-age=0 it stays fresh for ten days by
#           Last-Modified, and a new Vary never counts.
# Matters:  an origin that starts to forbid or to shorten caching, and has not changed the page itself, isn't heard for
#           as long as it answers 304.
set -euo pipefail

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
npm install --silent --no-audit --no-fund --prefix "$dir" http-cache-semantics@4.3.0 >/dev/null

cat >"$dir/run.js" <<'JS'
const Policy = require('http-cache-semantics');
console.log('http-cache-semantics', require('./node_modules/http-cache-semantics/package.json').version);
const req = { url: '/', method: 'GET', headers: { host: 'localhost', 'accept-language': 'de' } };
const other = { url: '/', method: 'GET', headers: { host: 'localhost', 'accept-language': 'fr' } };
const changed = new Date(Date.now() - 100 * 86400e3).toUTCString();
const stored = { etag: '"v"', 'last-modified': changed };
const after = (had, fields) => {
  const first = new Policy(req, { status: 200, headers: { ...stored, ...had } });
  const { policy, modified } = first.revalidatedPolicy(req, { status: 304, headers: { etag: '"v"', ...fields } });
  return { modified, storable: policy.storable(), fresh: Math.round(policy.timeToLive() / 1000),
    forOther: policy.satisfiesWithoutRevalidation(other) };
};
const rows = {
  'new: Cache-Control: no-store': after({}, { 'cache-control': 'no-store' }),
  'had max-age=60, then no-store': after({ 'cache-control': 'max-age=60' }, { 'cache-control': 'no-store' }),
  'new: Cache-Control: max-age=0': after({}, { 'cache-control': 'max-age=0' }),
  'new: Vary: Accept-Language': after({ 'cache-control': 'max-age=60' }, { vary: 'Accept-Language' }),
};
console.table(rows);
const [fresh, known, zero, vary] = Object.values(rows);
if (!(fresh.storable && fresh.fresh > 86400 && !known.storable && zero.fresh > 86400 && vary.forOther)) {
  console.error('changed');
  process.exitCode = 1;
}
JS
node "$dir/run.js"

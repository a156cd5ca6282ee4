#!/usr/bin/env bash
# Subject:  Varnish, the grace of a response with must-revalidate, and an error of the fetch in the background.
# Version:  Varnish 7.1.1 (Debian 12's package, installed), built-in VCL, nothing set.
# Expected: after the lifetime neither a response with must-revalidate nor one with stale-if-error=60 (which Varnish does
#           not know) is served stale: the 500 that the origin answers from then on is passed on, each time.
# Seen:     both are served stale once (ten seconds of grace by default, must-revalidate or not); and the 500 that the
#           fetch in the background gets takes the good object's place: the next reader gets the error, although most of
#           the grace was left.
# Matters:  one failing answer of the origin wipes a stored response that was meant to carry readers over exactly that, and
#           a must-revalidate page is shown once after its time.
set -euo pipefail

have=$(dpkg-query -W -f '${Version}' varnish) || { echo "install Debian's varnish first" >&2; exit 2; }
echo "varnish $have"
[[ $have == 7.1.1-* ]] || { echo "this was seen with 7.1.1" >&2; exit 2; }

dir=$(mktemp -d)
pids=()
cleanup() {
	for p in "${pids[@]}"; do kill "$p" 2>/dev/null || true; done
	wait
	rm -rf "$dir"
}
trap cleanup EXIT
chmod 755 "$dir"
free_port() { node -e 's=require("net").createServer().listen(0,"127.0.0.1",()=>{console.log(s.address().port);s.close()})'; }
origin=$(free_port)
front=$(free_port)

cat >"$dir/origin.js" <<'JS'
const asked = {};
require('http').createServer((req, res) => {
  const name = req.url.slice(1);
  if (name === 'count') return res.end(JSON.stringify(asked));
  if (name === 'up') { res.writeHead(200, { 'Cache-Control': 'no-store' }); return res.end(); }
  asked[name] = (asked[name] || 0) + 1;
  if (asked[name] > 1) {
    res.writeHead(500, { 'Content-Length': 6 });
    return res.end('failed');
  }
  const extra = name === 'strict' ? 'must-revalidate' : 'stale-if-error=60';
  res.writeHead(200, { 'Cache-Control': `max-age=1, ${extra}`, ETag: '"v"', 'Content-Length': 4 });
  res.end('good');
}).listen(+process.argv[2], '127.0.0.1');
JS
cat >"$dir/default.vcl" <<VCL
vcl 4.1;
backend origin { .host = "127.0.0.1"; .port = "$origin"; }
VCL
node "$dir/origin.js" "$origin" &
pids+=($!)
varnishd -F -a "127.0.0.1:$front" -f "$dir/default.vcl" -n "$dir/work" -s malloc,8m >"$dir/log" 2>&1 &
pids+=($!)
for port in "$origin" "$front"; do
	curl -s --fail --retry 30 --retry-all-errors --retry-delay 1 -o /dev/null "http://127.0.0.1:$port/up"
done

ask() { curl -s -w ' %{http_code}' "http://127.0.0.1:$front/$1"; }
a1=$(ask strict)
b1=$(ask errors)
sleep 2.2
a2=$(ask strict)
b2=$(ask errors)
for _ in $(seq 50); do # until the fetches in the background are done
	[[ $(curl -s "http://127.0.0.1:$origin/count") == '{"strict":2,"errors":2}' ]] && break
	sleep 0.05
done
sleep 0.3
a3=$(ask strict)
b3=$(ask errors)
echo "max-age=1, must-revalidate:   $a1; two seconds later $a2; then $a3"
echo "max-age=1, stale-if-error=60: $b1; two seconds later $b2; then $b3"
[[ "$a1,$a2,$a3,$b1,$b2,$b3" == "good 200,good 200,failed 500,good 200,good 200,failed 500" ]] || { echo "changed" >&2; exit 1; }

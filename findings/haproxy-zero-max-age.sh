#!/usr/bin/env bash
# Subject:  HAProxy's cache and "Cache-Control: max-age=0, s-maxage=60".
# Version:  HAProxy 2.6.12 (Debian 12's package, installed).
# Expected: a shared cache goes by s-maxage (RFC 9111, 5.2.2.10), so the second request is a hit, in both orders.
# Seen:     the response is never stored; max-age=1 instead of 0 with the same s-maxage is stored.
# Matters:  this pair is the usual way to say "browsers ask each time, the proxy keeps it". Behind HAProxy it means no
#           caching at all, with nothing in a log that says so.
set -euo pipefail

want=2.6.12
have=$(dpkg-query -W -f '${Version}' haproxy) || { echo "install Debian's haproxy first" >&2; exit 2; }
echo "haproxy $have"
[[ $have == "$want"-* ]] || { echo "this was seen with $want" >&2; exit 2; }

dir=$(mktemp -d)
pids=()
cleanup() {
	for p in "${pids[@]}"; do kill "$p" 2>/dev/null || true; done
	wait
	rm -rf "$dir"
}
trap cleanup EXIT
free_port() { node -e 's=require("net").createServer().listen(0,"127.0.0.1",()=>{console.log(s.address().port);s.close()})'; }
origin=$(free_port)
front=$(free_port)

cat >"$dir/origin.js" <<'JS'
const seen = {};
const fields = {
  zero: 'max-age=0, s-maxage=60', swapped: 's-maxage=60, max-age=0',
  one: 'max-age=1, s-maxage=60', alone: 's-maxage=60',
};
require('http').createServer((req, res) => {
  const name = req.url.slice(1);
  seen[name] = (seen[name] || 0) + 1;
  const body = `answer ${seen[name]}`;
  res.writeHead(200, { 'Cache-Control': fields[name] || 'no-store', 'Content-Length': body.length });
  res.end(body);
}).listen(+process.argv[2], '127.0.0.1');
JS
cat >"$dir/haproxy.cfg" <<CFG
cache store
  total-max-size 4
  max-age 100
defaults
  mode http
  timeout connect 5s
  timeout client 10s
  timeout server 10s
frontend front
  bind 127.0.0.1:$front
  http-request cache-use store
  http-response cache-store store
  default_backend back
backend back
  server origin 127.0.0.1:$origin
CFG
node "$dir/origin.js" "$origin" &
pids+=($!)
haproxy -db -f "$dir/haproxy.cfg" 2>"$dir/log" &
pids+=($!)
curl -s --retry 20 --retry-connrefused --retry-delay 1 -o /dev/null "http://127.0.0.1:$origin/up"
curl -s --retry 20 --retry-connrefused --retry-delay 1 -o /dev/null "http://127.0.0.1:$front/up"

seen=
for name in alone one zero swapped; do
	field=$(curl -s -o /dev/null -D - "http://127.0.0.1:$front/$name" | tr -d '\r' | sed -n 's/^cache-control: //Ip')
	answer=$(curl -s "http://127.0.0.1:$front/$name")
	echo "Cache-Control: $field -> second request: $answer"
	seen+="$name:${answer##* } "
done
[[ $seen == "alone:1 one:1 zero:2 swapped:2 " ]] || { echo "changed: $seen" >&2; exit 1; }

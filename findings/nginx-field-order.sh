#!/usr/bin/env bash
# Subject:  the order of Expires, Cache-Control and X-Accel-Expires in an origin's response, for nginx's cache.
# Version:  nginx 1.22.1 (Debian 12's package, installed).
# Expected: max-age wins over Expires (RFC 9111, 5.3) and X-Accel-Expires over both (nginx's documentation), in any order.
# Seen:     the first one that settles the matter wins. "Expires: (past)" in front of "max-age=60" and "no-store" in front
#           of "X-Accel-Expires: 60" keep the response out of the cache; the same lines swapped let it in.
# Matters:  whether a page is cached hangs on the order in which a framework happens to write its fields: an update of the
#           framework, or a proxy between that sorts them, switches the cache off or on.
set -euo pipefail

have=$(dpkg-query -W -f '${Version}' nginx) || { echo "install Debian's nginx first" >&2; exit 2; }
echo "nginx $have"
[[ $have == 1.22.1-* ]] || { echo "this was seen with 1.22.1" >&2; exit 2; }

dir=$(mktemp -d)
chmod 755 "$dir"
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
let made = 0;
require('http').createServer((req, res) => {
  const past = ['Expires', new Date(Date.now() - 60e3).toUTCString()];
  const age = ['Cache-Control', 'max-age=60'];
  const store = ['Cache-Control', 'no-store'];
  const accel = ['X-Accel-Expires', '60'];
  const fields = {
    a: [past, age], b: [age, past], c: [store, accel], d: [accel, store],
  }[req.url.slice(1)] || [store];
  const body = String(++made);
  res.writeHead(200, [...fields.flat(), 'Content-Length', String(body.length)]);
  res.end(body);
}).listen(+process.argv[2], '127.0.0.1');
JS
cat >"$dir/nginx.conf" <<CFG
daemon off; worker_processes 1; pid $dir/pid; error_log $dir/log;
events {}
http {
  access_log off;
  client_body_temp_path $dir/body; proxy_temp_path $dir/proxy; fastcgi_temp_path $dir/fcgi;
  uwsgi_temp_path $dir/uwsgi; scgi_temp_path $dir/scgi;
  proxy_cache_path $dir/cache keys_zone=zone:1m;
  server { listen 127.0.0.1:$front; location / { proxy_pass http://127.0.0.1:$origin; proxy_cache zone; } }
}
CFG
node "$dir/origin.js" "$origin" &
pids+=($!)
nginx -c "$dir/nginx.conf" 2>/dev/null &
pids+=($!)
for port in "$origin" "$front"; do
	curl -s --fail --retry 20 --retry-all-errors --retry-delay 1 -o /dev/null "http://127.0.0.1:$port/up"
done

seen=
row() {
	local first second told
	first=$(curl -s "http://127.0.0.1:$front/$1")
	second=$(curl -s "http://127.0.0.1:$front/$1")
	if [[ $first == "$second" ]]; then told=cached; else told="not cached"; fi
	printf '%-52s %s\n' "$2" "$told"
	seen+="$1:$told "
}
row a 'Expires: (past), then Cache-Control: max-age=60'
row b 'Cache-Control: max-age=60, then Expires: (past)'
row c 'Cache-Control: no-store, then X-Accel-Expires: 60'
row d 'X-Accel-Expires: 60, then Cache-Control: no-store'
[[ $seen == "a:not cached b:cached c:not cached d:cached " ]] || { echo "changed: $seen" >&2; exit 1; }

#!/usr/bin/env bash
# Subject:  nginx's proxy_cache_revalidate and the header fields of the origin's 304.
# Version:  nginx 1.22.1 (Debian 12's package, installed).
# Expected: the stored response takes over the fields of the 304 (RFC 9111, 3.2): the new Cache-Control, and a new field.
# Seen:     nginx takes the new lifetime of the 304 but none of its fields. The stored response goes on, for the whole new
#           minute, as "Cache-Control: max-age=1" with the old field's value; the new field never shows.
# Matters:  caches and clients behind nginx go by fields that are no longer so (here they ask every second for something
#           that is good for a minute; with the numbers the other way round they keep what nginx itself drops), and tags,
#           versions or Content-Security-Policy sent with a 304 never arrive.
set -euo pipefail

have=$(dpkg-query -W -f '${Version}' nginx) || { echo "install Debian's nginx first" >&2; exit 2; }
echo "nginx $have"
[[ $have == 1.22.1-* ]] || { echo "this was seen with 1.22.1" >&2; exit 2; }

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
let full = 0, not = 0;
require('http').createServer((req, res) => {
  if (req.url === '/count') return res.end(`${full} full, ${not} not modified`);
  if (req.url === '/up') return res.end();
  if (req.headers['if-none-match']) {
    not++;
    res.writeHead(304, { 'Cache-Control': 'max-age=60', ETag: '"v"', 'X-Revision': 'second', 'X-Added': 'yes' });
    return res.end();
  }
  full++;
  res.writeHead(200, { 'Cache-Control': 'max-age=1', ETag: '"v"', 'X-Revision': 'first', 'Content-Length': 4 });
  res.end('body');
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
  server {
    listen 127.0.0.1:$front;
    location / {
      proxy_pass http://127.0.0.1:$origin; proxy_cache zone; proxy_cache_revalidate on;
      add_header X-From \$upstream_cache_status;
    }
  }
}
CFG
chmod 755 "$dir"
node "$dir/origin.js" "$origin" &
pids+=($!)
nginx -c "$dir/nginx.conf" 2>/dev/null &
pids+=($!)
for port in "$origin" "$front"; do
	curl -s --retry 20 --retry-connrefused --retry-delay 1 -o /dev/null "http://127.0.0.1:$port/up"
done

fields() { curl -s -o /dev/null -D - "http://127.0.0.1:$front/page" | tr -d '\r' | grep -iE '^(cache-control|x-)' | sort | paste -sd' '; }
echo "first:                    $(fields)"
sleep 2.2
revalidated=$(fields)
echo "after the lifetime:       $revalidated"
sleep 2.2
later=$(fields)
echo "more than a second later: $later"
count=$(curl -s "http://127.0.0.1:$origin/count")
echo "the origin answered:      $count"
old="Cache-Control: max-age=1 X-From: %s X-Revision: first"
# shellcheck disable=SC2059
[[ $revalidated == "$(printf "$old" REVALIDATED)" && $later == "$(printf "$old" HIT)" && $count == "1 full, 1 not modified" ]] ||
	{ echo "changed" >&2; exit 1; }

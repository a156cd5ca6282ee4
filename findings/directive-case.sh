#!/usr/bin/env bash
# Subject:  the letter case of Cache-Control directives in three caches.
# Version:  http-cache-semantics 4.3.0 (npm), github.com/gregjones/httpcache v0.0.0-20190611155906-901d90724c79 (Go),
#           squid 5.7 (Debian 12's package, fetched).
# Expected: directive names are case-insensitive (RFC 9111, 5.2): "MAX-AGE=60" is fresh for a minute, and
#           "No-Cache, max-age=60" is asked for again each time.
# Seen:     all three know the lower-case names only. MAX-AGE=60 isn't reused at all, and No-Cache is passed over, so
#           the second reader gets the stored response for a minute without the origin being asked.
# Matters:  a header typed as "No-Cache" works in browsers and in nginx, Varnish, HAProxy and Apache, and serves old data
#           behind these.
set -euo pipefail

dir=$(mktemp -d)
chmod 755 "$dir"
pids=()
cleanup() {
	for p in "${pids[@]}"; do kill "$p" 2>/dev/null || true; done
	wait
	chmod -R u+w "$dir"
	rm -rf "$dir"
}
trap cleanup EXIT
free_port() { node -e 's=require("net").createServer().listen(0,"127.0.0.1",()=>{console.log(s.address().port);s.close()})'; }
origin=$(free_port)
squid_port=$(free_port)
go_port=$(free_port)

cat >"$dir/origin.js" <<'JS'
const made = {};
const fields = { upper: 'MAX-AGE=60', lower: 'max-age=60', mixed: 'No-Cache, max-age=60', plain: 'no-cache, max-age=60' };
require('http').createServer((req, res) => {
  const name = req.url.slice(1);
  made[name] = (made[name] || 0) + 1;
  res.writeHead(200, { 'Cache-Control': fields[name] || 'no-store', 'Content-Length': 1 });
  res.end(String(made[name]));
}).listen(+process.argv[2], '127.0.0.1');
JS
node "$dir/origin.js" "$origin" &
pids+=($!)

npm install --silent --no-audit --no-fund --prefix "$dir" http-cache-semantics@4.3.0 >/dev/null
node_part() {
	(cd "$dir" && node -e '
		const Policy = require("http-cache-semantics");
		const req = { url: "/", method: "GET", headers: { host: "localhost" } };
		const res = { status: 200, headers: { "cache-control": process.argv[1] } };
		const policy = new Policy(req, res);
		console.log(policy.storable() && policy.satisfiesWithoutRevalidation(req) ? "reused" : "asked");' "$1")
}

mkdir "$dir/go"
cat >"$dir/go/main.go" <<'GO'
package main

import (
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"

	"github.com/gregjones/httpcache"
)

func main() {
	to, err := url.Parse(os.Args[1])
	if err != nil {
		panic(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(to)
	proxy.Transport = httpcache.NewMemoryCacheTransport()
	panic(http.ListenAndServe(os.Args[2], proxy))
}
GO
(
	cd "$dir/go"
	go mod init finding >/dev/null 2>&1
	go get github.com/gregjones/httpcache@v0.0.0-20190611155906-901d90724c79 >/dev/null 2>&1
	go build -o cache .
)
"$dir/go/cache" "http://127.0.0.1:$origin" "127.0.0.1:$go_port" &
pids+=($!)

(
	cd "$dir"
	apt-get -qq -o APT::Sandbox::User=root download 'squid=5.7-*' squid-common squid-langpack libecap3 libnetfilter-conntrack3 \
		libnfnetlink0 libltdl7 >/dev/null
	for deb in *.deb; do dpkg -x "$deb" root; done
	echo "http-cache-semantics 4.3.0, httpcache v0.0.0-20190611155906-901d90724c79"
	echo "squid $(dpkg-deb -f squid_*.deb Version)"
)
share=$dir/root/usr/share
mkdir "$dir/squid"
cat >"$dir/squid.conf" <<CFG
http_port 127.0.0.1:$squid_port accel defaultsite=localhost no-vhost
cache_peer 127.0.0.1 parent $origin 0 no-query originserver name=origin
http_access allow all
cache_mem 8 MB
memory_cache_shared off
pid_filename $dir/squid/pid
cache_log $dir/squid/log
access_log none
coredump_dir $dir/squid
mime_table $share/squid/mime.conf
icon_directory $share/squid/icons
error_directory $share/squid-langpack/templates
unlinkd_program $dir/root/usr/lib/squid/unlinkd
pinger_enable off
shutdown_lifetime 0 seconds
cache_effective_user nobody
cache_effective_group nogroup
CFG
if [[ $(id -u) == 0 ]]; then chown -R nobody "$dir/squid"; fi
LD_LIBRARY_PATH=$dir/root/usr/lib/x86_64-linux-gnu:$dir/root/lib/x86_64-linux-gnu \
	"$dir/root/usr/sbin/squid" -N -n "finding$$" -f "$dir/squid.conf" 2>"$dir/squid.err" &
pids+=($!)
for port in "$origin" "$go_port" "$squid_port"; do
	curl -s --fail --retry 30 --retry-all-errors --retry-delay 1 -o /dev/null "http://127.0.0.1:$port/up"
done

twice() {
	local before after
	before=$(curl -s "http://127.0.0.1:$1/$2")
	after=$(curl -s "http://127.0.0.1:$1/$2")
	if [[ $before == "$after" ]]; then echo reused; else echo asked; fi
}
seen=
row() { # name field
	local a b c
	a=$(node_part "$2")
	b=$(twice "$go_port" "$1")
	c=$(twice "$squid_port" "$1")
	printf '%-22s http-cache-semantics %-6s  httpcache %-6s  squid %-6s\n' "$2" "$a" "$b" "$c"
	seen+="$1:$a,$b,$c "
}
row lower 'max-age=60'
row upper 'MAX-AGE=60'
row plain 'no-cache, max-age=60'
row mixed 'No-Cache, max-age=60'
expected="lower:reused,reused,reused upper:asked,asked,asked plain:asked,asked,asked mixed:reused,reused,reused "
[[ $seen == "$expected" ]] || { echo "changed: $seen" >&2; exit 1; }

#!/usr/bin/env bash
# Subject:  Apache's mod_cache and a status code that it has no name for (299, 599).
# Version:  apache2 2.4.71 with mod_cache_disk (Debian 12's package, fetched).
# Expected: a 299 with a lifetime and a reason phrase is replayed from the cache as it came, or isn't stored.
# Seen:     the first reader gets "299 Custom Phrase"; everybody after, from the cache, "500 Internal Server Error" with
#           the same good body and the same max-age. 226 and 451, which Apache has a name for, are replayed right.
# Matters:  a success becomes a server error for as long as the response is fresh, at the second request only: tests with
#           one request pass, retries and health checks of the next proxy see an error that the origin never sent.
set -euo pipefail

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
(
	cd "$dir"
	apt-get -qq -o APT::Sandbox::User=root download 'apache2-bin=2.4.71-*' libapr1 libaprutil1 >/dev/null
	for deb in *.deb; do dpkg -x "$deb" root; done
	echo "apache2 $(dpkg-deb -f apache2-bin_*.deb Version)"
)
cat >"$dir/origin.js" <<'JS'
let made = 0;
require('http').createServer((req, res) => {
  const code = Number(req.url.slice(1)) || 200;
  const body = `answer ${++made}`;
  res.writeHead(code, 'Custom Phrase', { 'Cache-Control': 'max-age=60', 'Content-Length': body.length });
  res.end(body);
}).listen(+process.argv[2], '127.0.0.1');
JS
modules=$dir/root/usr/lib/apache2/modules
mkdir "$dir/cache"
cat >"$dir/apache.conf" <<CFG
ServerName localhost
Listen 127.0.0.1:$front
PidFile $dir/pid
ErrorLog $dir/log
DefaultRuntimeDir $dir
LoadModule mpm_event_module $modules/mod_mpm_event.so
LoadModule authz_core_module $modules/mod_authz_core.so
LoadModule proxy_module $modules/mod_proxy.so
LoadModule proxy_http_module $modules/mod_proxy_http.so
LoadModule cache_module $modules/mod_cache.so
LoadModule cache_disk_module $modules/mod_cache_disk.so
CacheRoot $dir/cache
CacheEnable disk /
ProxyPass / http://127.0.0.1:$origin/
CFG
node "$dir/origin.js" "$origin" &
pids+=($!)
LD_LIBRARY_PATH=$dir/root/usr/lib/x86_64-linux-gnu "$dir/root/usr/sbin/apache2" -X -f "$dir/apache.conf" 2>"$dir/err" &
pids+=($!)
for port in "$origin" "$front"; do
	curl -s --fail --retry 30 --retry-all-errors --retry-delay 1 -o /dev/null "http://127.0.0.1:$port/200"
done

ask() { curl -s -D - "http://127.0.0.1:$front/$1" | tr -d '\r' | sed -n '1s/^HTTP[^ ]* //p;$p' | paste -sd: | sed 's/:/: /'; }
seen=
for code in 226 451 299 599; do
	first=$(ask "$code")
	second=$(ask "$code")
	echo "$code: first $first | from the cache $second"
	[[ ${first##* } == "${second##* }" ]] || second="not stored"
	seen+="$code>${second%% *} "
done
[[ $seen == "226>226 451>451 299>500 599>500 " ]] || { echo "changed: $seen" >&2; exit 1; }

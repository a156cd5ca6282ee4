#!/usr/bin/env bash
# Subject:  a response with two Vary lines ("Vary: X-A" and "Vary: X-B") in nginx's and in Apache Traffic Server's cache.
# Version:  nginx 1.22.1 (Debian 12's package, installed); trafficserver 9.2.5 (Debian 12's package, fetched).
# Expected: two lines of a list field mean the same as one line with a comma (RFC 9110, 5.3), so a request that differs
#           in either field is not answered from the cache.
# Seen:     nginx heeds only the last line and answers a request whose X-A differs with the other one's response;
#           Traffic Server does the reverse and forgets X-B. With one line "Vary: X-A, X-B" both do it right.
# Matters:  frameworks add their own Vary line (compression, language, session) beside the application's: which users get
#           each other's variant then depends on the order of the lines and on the brand of the cache in front.
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
nginx_port=$(free_port)
ats_port=$(free_port)

(
	cd "$dir"
	apt-get -qq -o APT::Sandbox::User=root download 'trafficserver=9.2.5*' libpcre3 libhwloc15 libyaml-cpp0.7 >/dev/null
	for deb in *.deb; do dpkg -x "$deb" root; done
	echo "trafficserver $(dpkg-deb -f trafficserver_*.deb Version)"
)

cat >"$dir/origin.js" <<'JS'
let n = 0;
require('http').createServer((req, res) => {
  const body = `A=${req.headers['x-a']} B=${req.headers['x-b']} (made ${++n})`;
  const vary = req.url.startsWith('/one') ? ['Vary', 'X-A, X-B'] : ['Vary', 'X-A', 'Vary', 'X-B'];
  res.writeHead(200, ['Cache-Control', 'max-age=60', 'Content-Length', String(body.length), ...vary]);
  res.end(body);
}).listen(+process.argv[2], '127.0.0.1');
JS
mkdir -p "$dir/nginx" "$dir/ats/etc" "$dir/ats/run" "$dir/ats/log" "$dir/ats/cache"
cat >"$dir/nginx.conf" <<CFG
daemon off; worker_processes 1; pid $dir/nginx/pid; error_log $dir/nginx/log;
events {}
http {
  access_log off;
  client_body_temp_path $dir/nginx/body; proxy_temp_path $dir/nginx/proxy; fastcgi_temp_path $dir/nginx/fcgi;
  uwsgi_temp_path $dir/nginx/uwsgi; scgi_temp_path $dir/nginx/scgi;
  proxy_cache_path $dir/nginx/cache keys_zone=zone:1m;
  server { listen 127.0.0.1:$nginx_port; location / { proxy_pass http://127.0.0.1:$origin; proxy_cache zone; } }
}
CFG
cp -r "$dir/root/etc/trafficserver/." "$dir/ats/etc/"
cat >"$dir/ats/etc/records.config" <<CFG
CONFIG proxy.config.http.server_ports STRING $ats_port:ip-in=127.0.0.1
CONFIG proxy.config.reverse_proxy.enabled INT 1
CONFIG proxy.config.url_remap.remap_required INT 1
CONFIG proxy.config.admin.user_id STRING nobody
CONFIG proxy.config.exec_thread.autoconfig.enabled INT 0
CONFIG proxy.config.exec_thread.limit INT 1
CONFIG proxy.config.hostdb.storage_size INT 33554432
CONFIG proxy.config.log.logging_enabled INT 0
CONFIG proxy.config.diags.output.error STRING L
CONFIG proxy.config.body_factory.template_sets_dir STRING $dir/ats/etc/body_factory
CFG
echo "map / http://127.0.0.1:$origin/" >"$dir/ats/etc/remap.config"
echo "$dir/ats/cache 64M" >"$dir/ats/etc/storage.config"
: >"$dir/ats/etc/plugin.config"
cat >"$dir/ats/runroot.yaml" <<CFG
prefix: $dir/ats
exec_prefix: $dir/ats
bindir: $dir/root/usr/bin
sbindir: $dir/root/usr/bin
sysconfdir: $dir/ats/etc
datadir: $dir/ats
libexecdir: $dir/root/usr/lib/trafficserver/modules
localstatedir: $dir/ats/run
runtimedir: $dir/ats/run
logdir: $dir/ats/log
cachedir: $dir/ats/cache
CFG
if [[ $(id -u) == 0 ]]; then chown -R nobody "$dir/ats"; fi
libs=$dir/root/usr/lib/x86_64-linux-gnu:$dir/root/usr/lib/trafficserver:$dir/root/lib/x86_64-linux-gnu

node "$dir/origin.js" "$origin" &
pids+=($!)
nginx -c "$dir/nginx.conf" 2>/dev/null &
pids+=($!)
LD_LIBRARY_PATH=$libs "$dir/root/usr/bin/traffic_server" --run-root="$dir/ats/runroot.yaml" >"$dir/ats.out" 2>&1 &
pids+=($!)
for port in "$origin" "$nginx_port" "$ats_port"; do
	curl -s --retry 30 --retry-all-errors --retry-delay 1 -o /dev/null --fail "http://127.0.0.1:$port/up"
done

seen=
ask() { curl -s -H "X-A: $3" -H "X-B: $4" "http://127.0.0.1:$1/$2"; }
for lines in one two; do
	for port in "$nginx_port" "$ats_port"; do
		name=nginx
		if [[ $port == "$ats_port" ]]; then name=trafficserver; fi
		for field in A B; do
			path=$lines-$field
			ask "$port" "$path" 1 1 >/dev/null
			sleep 0.1 # Traffic Server finishes writing the object
			if [[ $field == A ]]; then answer=$(ask "$port" "$path" 2 1); else answer=$(ask "$port" "$path" 1 2); fi
			verdict=right
			if [[ $answer == "A=1 B=1 "* ]]; then verdict=WRONG; fi
			echo "$name, $lines Vary line(s), request with another X-$field: got $answer: $verdict"
			seen+="$name-$lines-$field:$verdict "
		done
	done
done
expected="nginx-one-A:right nginx-one-B:right trafficserver-one-A:right trafficserver-one-B:right "
expected+="nginx-two-A:WRONG nginx-two-B:right trafficserver-two-A:right trafficserver-two-B:WRONG "
[[ $seen == "$expected" ]] || { echo "changed: $seen" >&2; exit 1; }

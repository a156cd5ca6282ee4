#!/usr/bin/env bash
# Subject:  the "lag" of a Redis consumer group after the stream was trimmed past what the group had read.
# Version:  Redis 7.0.15 (Debian 12's package, installed).
# Expected: lag counts what the group can still be given: 3 after trimming to 3 entries, 0 when it has been given them.
# Seen:     8 right after the trimming (10 added, 2 read), and 5 when the group has read to the end. It stays 5 with every
#           entry added and read afterwards, since the trimmed entries are waited for as unread for ever.
# Matters:  with XADD MAXLEN a consumer that once fell behind looks behind for good: alerts don't clear, and what scales
#           workers by lag, or waits for lag 0 before it switches over, never comes to rest.
set -euo pipefail

have=$(dpkg-query -W -f '${Version}' redis-server) || { echo "install Debian's redis-server first" >&2; exit 2; }
echo "redis-server $have"
[[ $have == *7.0.15-* ]] || { echo "this was seen with 7.0.15" >&2; exit 2; }

dir=$(mktemp -d)
pid=
cleanup() {
	if [[ $pid ]]; then kill "$pid" 2>/dev/null || true; fi
	wait
	rm -rf "$dir"
}
trap cleanup EXIT
port=$(node -e 's=require("net").createServer().listen(0,"127.0.0.1",()=>{console.log(s.address().port);s.close()})')
redis-server --port "$port" --bind 127.0.0.1 --save '' --dir "$dir" >"$dir/log" &
pid=$!
until redis-cli -p "$port" ping >/dev/null 2>&1; do sleep 0.05; done

r() { redis-cli -p "$port" "$@"; }
lags=
lag() {
	local now last
	now=$(r XINFO GROUPS s | sed -n '/^lag$/{n;p}')
	last=$(r XINFO GROUPS s | sed -n '/^last-delivered-id$/{n;p}')
	printf '%-42s lag %-3s group at %-5s stream ends at %s\n' "$1" "$now" "$last" "$(r XINFO STREAM s | sed -n '/^last-generated-id$/{n;p}')"
	lags+="$now "
}
read_next() { r XREADGROUP GROUP g c COUNT "$1" STREAMS s '>' >/dev/null; }
for i in $(seq 10); do r XADD s "$i-1" n "$i" >/dev/null; done
r XGROUP CREATE s g 0 >/dev/null
read_next 2
lag "10 added, 2 read"
r XTRIM s MAXLEN 3 >/dev/null
lag "trimmed to the last 3"
read_next 10
lag "all read"
for i in $(seq 11 30); do
	r XADD s MAXLEN 3 "$i-1" n "$i" >/dev/null
	read_next 10
done
lag "20 more, each read at once"
[[ $lags == "8 8 5 5 " ]] || { echo "changed: $lags" >&2; exit 1; }

#!/usr/bin/env bash
# Subject:  ALTER TABLE … DETACH PARTITION … CONCURRENTLY that is pending, in the catalogue.
# Version:  PostgreSQL 15.20 (Debian 12's package, installed).
# Expected: from the moment at which queries of the partitioned table leave the partition's rows out, the partition's row in
#           pg_class is a new one (its xmin has changed), as it is after every other ALTER TABLE that changes what is read.
# Seen:     only while the detach has to add a CHECK constraint for the partition's bounds. Where a constraint says as much
#           already, the rows of pg_class of both tables are those of before, and pg_inherits.inhdetachpending alone tells,
#           with the rows already gone from the partitioned table.
# Matters:  a tool that compares pg_class (or xmin there) to notice that a table reads differently misses it: a cache keyed by
#           that goes on serving rows which no query returns.
set -euo pipefail

bin=/usr/lib/postgresql/15/bin
have=$(dpkg-query -W -f '${Version}' postgresql-15) || { echo "install Debian's postgresql-15 first" >&2; exit 2; }
echo "postgresql-15 $have"
dir=$(mktemp -d)
chmod 755 "$dir"
mkdir "$dir/pg"
as=()
if [[ $(id -u) == 0 ]]; then
	chown postgres "$dir/pg"
	as=(runuser -u postgres --)
fi
cleanup() {
	"${as[@]}" "$bin/pg_ctl" -D "$dir/pg/data" -m immediate stop >/dev/null 2>&1 || true
	rm -rf "$dir"
}
trap cleanup EXIT
"${as[@]}" "$bin/initdb" -D "$dir/pg/data" -A trust -U postgres --no-sync >/dev/null
"${as[@]}" "$bin/pg_ctl" -D "$dir/pg/data" -l "$dir/pg/log" -w -o "-c listen_addresses='' -c unix_socket_directories='$dir/pg' \
	-c fsync=off -c shared_buffers=16MB" start >/dev/null
sql() { "${as[@]}" "$bin/psql" -h "$dir/pg" -U postgres -X -q -A -t "$@"; }

# facts are the rows that the partitioned table shows, the xmin of both rows of pg_class, and whether a detach is pending.
facts="SELECT (SELECT count(*) FROM whole), array_agg(xmin ORDER BY relname), (SELECT bool_or(inhdetachpending) FROM pg_inherits)
 FROM pg_class WHERE relname IN ('whole', 'part')"
try() { # $1: what the partition says of its own bounds
	sql -v ON_ERROR_STOP=1 -c 'SET client_min_messages = warning' -c 'DROP TABLE IF EXISTS whole' -c 'CREATE TABLE whole (k int NOT NULL) PARTITION BY LIST (k)' \
		-c "CREATE TABLE part (k int NOT NULL $1)" -c 'ALTER TABLE whole ATTACH PARTITION part FOR VALUES IN (1)' -c 'INSERT INTO whole VALUES (1)'
	# A transaction that has read the table keeps the detach from its second step; its statement then runs out of time.
	cat >"$dir/pg/hold.sql" <<-SQL
		BEGIN;
		SELECT FROM whole;
		\! "$bin/psql" -h "$dir/pg" -U postgres -X -q -c "SET statement_timeout = '1s'" -c 'ALTER TABLE whole DETACH PARTITION part CONCURRENTLY' 2>/dev/null
		COMMIT;
	SQL
	local before after
	before=$(sql -v ON_ERROR_STOP=1 -c "$facts")
	sql -f "$dir/pg/hold.sql" >/dev/null
	after=$(sql -v ON_ERROR_STOP=1 -c "$facts")
	IFS='|' read -r shown xmins pending <<<"$before"
	IFS='|' read -r shown2 xmins2 pending2 <<<"$after"
	echo "rows $shown then $shown2, pending $pending then $pending2, pg_class $([[ $xmins == "$xmins2" ]] && echo as before || echo rewritten)"
}
plain=$(try '')
checked=$(try 'CHECK (k IS NOT NULL AND k = 1)')
echo "no constraint:  $plain"
echo "a constraint:   $checked"
[[ $plain == 'rows 1 then 0, pending f then t, pg_class rewritten' && $checked == 'rows 1 then 0, pending f then t, pg_class as before' ]] ||
	{ echo "this has changed" >&2; exit 1; }

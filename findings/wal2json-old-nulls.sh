#!/usr/bin/env bash
# Subject:  wal2json, the old row of a table with REPLICA IDENTITY FULL, and columns over a domain.
# Version:  wal2json 2.5 (Debian 12's package, fetched) in PostgreSQL 15 (Debian 12's package, installed).
# Expected: the old row of a DELETE has each column, NULL as null, in both formats; and a column of a domain over int is a
#           bare number, as an int is.
# Seen:     format 1, the default, leaves the columns that were NULL out of oldkeys (format 2 has them as null). A column
#           of a domain over int or bool is a JSON string: "7", "t", where int and bool are 7 and true.
# Matters:  with format 1 "was NULL" looks like "not in the identity", so a row can't be put back together or matched by
#           position; and the same id is 7 in the table and "7" in the one that refers to it by a domain: tags and joins
#           built from the two differ.
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
cd "$dir"
apt-get -qq -o APT::Sandbox::User=root download 'postgresql-15-wal2json=2.5-*' >/dev/null
dpkg -x postgresql-15-wal2json_*.deb root
echo "wal2json $(dpkg-deb -f postgresql-15-wal2json_*.deb Version)"
port=$(node -e 's=require("net").createServer().listen(0,"127.0.0.1",()=>{console.log(s.address().port);s.close()})')
"${as[@]}" "$bin/initdb" -D "$dir/pg/data" -A trust -U postgres --no-sync >/dev/null
"${as[@]}" "$bin/pg_ctl" -D "$dir/pg/data" -l "$dir/pg/log" -w -o "-c listen_addresses=127.0.0.1 -p $port -c unix_socket_directories='' \
	-c wal_level=logical -c fsync=off -c shared_buffers=16MB -c dynamic_library_path='\$libdir:$dir/root/usr/lib/postgresql/15/lib'" start >/dev/null
sql() { psql -qAtX -h 127.0.0.1 -p "$port" -U postgres -c "$1"; }
sql 'CREATE DOMAIN item_id AS int'
sql 'CREATE DOMAIN yes AS bool'
sql 'CREATE TABLE item (id int, ref item_id, good bool, ok yes, note text)'
sql 'ALTER TABLE item REPLICA IDENTITY FULL'
for format in 1 2; do sql "SELECT pg_create_logical_replication_slot('f$format', 'wal2json')" >/dev/null; done
sql "INSERT INTO item VALUES (7, 7, true, true, NULL)"
sql 'DELETE FROM item'
one=$(sql "SELECT data FROM pg_logical_slot_get_changes('f1', NULL, NULL)" | grep '"delete"')
two=$(sql "SELECT data FROM pg_logical_slot_get_changes('f2', NULL, NULL, 'format-version', '2')" | grep '"D"')
echo "format 1: $one"
echo "format 2: $two"
[[ $one == *'"keynames":["id","ref","good","ok"]'* && $one == *'"keyvalues":[7,"7",true,"t"]'* &&
	$two == *'{"name":"note","type":"text","value":null}'* && $two == *'"type":"item_id","value":"7"'* ]] ||
	{ echo "changed" >&2; exit 1; }

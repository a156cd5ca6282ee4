#!/usr/bin/env bash
# Subject:  pg_publication_tables inside a REPEATABLE READ transaction.
# Version:  PostgreSQL 15.18 and 15.20 (Debian 12's package, installed).
# Expected: a transaction that has its snapshot sees the publication's tables as they were, like every other row of the
#           catalogue, until it ends.
# Seen:     the view shows a table that another session has added after the snapshot was taken, while pg_publication_rel
#           and the table's row in pg_class are still those of before: the function behind the view reads the catalogue
#           of now.
# Matters:  a tool that reads the whole configuration of a logical replication "in one snapshot" gets a state that never
#           was, such as a published table with the replica identity of before, and acts on it.
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
	-c wal_level=logical -c fsync=off -c shared_buffers=16MB" start >/dev/null
sql() { "${as[@]}" "$bin/psql" -h "$dir/pg" -U postgres -X -q -A -t -v ON_ERROR_STOP=1 "$@"; }

sql -c 'CREATE TABLE early (id int PRIMARY KEY); CREATE TABLE late (id int)' -c 'CREATE PUBLICATION p FOR TABLE early'
# The snapshot is taken by the first query; psql's own shell then lets another session commit.
cat >"$dir/pg/look.sql" <<SQL
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT 'before: view ' || (SELECT count(*) FROM pg_publication_tables) || ', pg_publication_rel ' || (SELECT count(*) FROM pg_publication_rel);
\! "$bin/psql" -h "$dir/pg" -U postgres -X -q -c 'ALTER TABLE late REPLICA IDENTITY FULL' -c 'ALTER PUBLICATION p ADD TABLE late'
SELECT 'after: view ' || (SELECT count(*) FROM pg_publication_tables) || ', pg_publication_rel ' || (SELECT count(*) FROM pg_publication_rel)
 || ', identity of late ' || (SELECT relreplident::text FROM pg_class WHERE relname = 'late');
COMMIT;
SQL
seen=$(sql -f "$dir/pg/look.sql")
echo "$seen"
want='before: view 1, pg_publication_rel 1
after: view 2, pg_publication_rel 1, identity of late d'
[[ $seen == "$want" ]] || { echo "this has changed" >&2; exit 1; }

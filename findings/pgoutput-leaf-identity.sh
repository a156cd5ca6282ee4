#!/usr/bin/env bash
# Subject:  REPLICA IDENTITY FULL of a partition, published as its root (publish_via_partition_root).
# Version:  PostgreSQL 15 (Debian 12's package, installed); pg-logical-replication 2.5.0 with pg 8.23.1 (npm) to read it.
# Expected: the relation message says the root's identity, but the DELETE of a partition with REPLICA IDENTITY FULL comes
#           with the old row ("O"), as it does without publish_via_partition_root.
# Seen:     it comes as a key ("K"), and an UPDATE that leaves the key alone comes with a "K" too, as if the key had
#           changed. The bytes hold the whole old row, but what reads them by the relation message keeps the key only.
# Matters:  what follows the log by old values (which list did this row leave?) loses them without a word when a
#           publication is switched to the root, although ALTER TABLE ... REPLICA IDENTITY FULL is still in place.
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
port=$(node -e 's=require("net").createServer().listen(0,"127.0.0.1",()=>{console.log(s.address().port);s.close()})')
"${as[@]}" "$bin/initdb" -D "$dir/pg/data" -A trust -U postgres --no-sync >/dev/null
"${as[@]}" "$bin/pg_ctl" -D "$dir/pg/data" -l "$dir/pg/log" -w -o "-c listen_addresses=127.0.0.1 -p $port -c unix_socket_directories='' \
	-c wal_level=logical -c fsync=off -c shared_buffers=16MB" start >/dev/null
npm install --silent --no-audit --no-fund --prefix "$dir" pg@8.23.1 pg-logical-replication@2.5.0 >/dev/null

cat >"$dir/run.mjs" <<'JS'
import pg from 'pg';
import { PgoutputPlugin } from 'pg-logical-replication';
const client = new pg.Client({ host: '127.0.0.1', port: Number(process.argv[2]), user: 'postgres', database: 'postgres' });
await client.connect();
await client.query(`
  CREATE TABLE item (id int PRIMARY KEY, list text) PARTITION BY RANGE (id);
  CREATE TABLE item1 PARTITION OF item FOR VALUES FROM (0) TO (100);
  ALTER TABLE item1 REPLICA IDENTITY FULL;
  CREATE PUBLICATION leaf FOR TABLE item;
  CREATE PUBLICATION root FOR TABLE item WITH (publish_via_partition_root = true)`);
const slots = ['leaf', 'root'];
for (const slot of slots) await client.query(`SELECT pg_create_logical_replication_slot('${slot}', 'pgoutput')`);
await client.query(`INSERT INTO item VALUES (1, 'red')`);
await client.query(`UPDATE item SET list = 'blue' WHERE id = 1`);
await client.query(`DELETE FROM item`);
const seen = [];
for (const slot of slots) {
  const parser = new PgoutputPlugin({ protoVersion: 1, publicationNames: [slot] });
  const { rows } = await client.query(
    `SELECT data FROM pg_logical_slot_get_binary_changes('${slot}', NULL, NULL, 'proto_version', '1', 'publication_names', '${slot}')`);
  for (const { data } of rows) {
    const change = parser.parse(data);
    if (change.tag !== 'update' && change.tag !== 'delete') continue;
    const part = String.fromCharCode(data[5]);
    const value = change.tag === 'update' ? 'red' : 'blue';
    const line = `published as the ${slot}: ${change.tag} of ${change.relation.name} (identity ${change.relation.replicaIdentity}) ` +
      `with "${part}", bytes ${data.includes(value) ? 'hold' : 'lack'} the old value, ` +
      `read as key ${JSON.stringify(change.key)}, old ${JSON.stringify(change.old)}`;
    console.log(line);
    seen.push(`${part}${data.includes(value)}${change.old ? change.old.list : '-'}`);
  }
}
await client.end();
if (seen.join(' ') !== 'Otruered Otrueblue Ktrue- Ktrue-') {
  console.error('changed', seen);
  process.exitCode = 1;
}
JS
timeout 30 node "$dir/run.mjs" "$port"

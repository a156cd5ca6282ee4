#!/usr/bin/env bash
# Subject:  when npm's pg-logical-replication confirms a change to PostgreSQL.
# Version:  pg-logical-replication 2.5.0 with pg 8.23.1 (npm), PostgreSQL 15 (Debian 12's package, installed).
# Expected: with acknowledge.auto on, a commit is confirmed when the handlers of its changes have finished; with it off
#           ("must be done manually") never before the program calls acknowledge.
# Seen:     both confirm the commit while the handler of its row is still at work: a timer (timeoutSeconds) confirms the
#           newest position that has arrived, auto or not, and after a restart the row isn't sent again. Only with
#           timeoutSeconds 0 beside auto off does it come again.
# Matters:  a process that dies between receiving and handling loses the change for good: for a cache that means a purge
#           that never happens. The default of the timer is ten seconds, so tests with a quick restart don't show it.
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
import { readFileSync } from 'node:fs';
import pg from 'pg';
import { LogicalReplicationService, PgoutputPlugin } from 'pg-logical-replication';
const module = JSON.parse(readFileSync(new URL('node_modules/pg-logical-replication/package.json', import.meta.url)));
console.log('pg-logical-replication', module.version);
const config = { host: '127.0.0.1', port: Number(process.argv[2]), user: 'postgres', database: 'postgres' };
const client = new pg.Client(config);
await client.connect();
const one = async (sql) => Object.values((await client.query(sql)).rows[0])[0];
const until = async (ms, test) => {
  for (const end = Date.now() + ms; Date.now() < end; await new Promise((ok) => setTimeout(ok, 50))) {
    if (await test()) return true;
  }
  return false;
};
const connected = (slot) => until(5000, () => one(`SELECT active FROM pg_replication_slots WHERE slot_name = '${slot}'`));
const follow = async (slot, options, handler) => {
  const service = new LogicalReplicationService(config, options);
  service.on('data', handler);
  service.on('error', (error) => console.error(error.message));
  service.subscribe(new PgoutputPlugin({ protoVersion: 1, publicationNames: ['changes'] }), slot).catch(() => {});
  await connected(slot);
  return service;
};
await client.query('CREATE TABLE item (id int PRIMARY KEY); CREATE PUBLICATION changes FOR TABLE item');
const seen = {};
const cases = {
  auto: { acknowledge: { auto: true, timeoutSeconds: 1 } },
  manual: { acknowledge: { auto: false, timeoutSeconds: 1 } },
  silent: { acknowledge: { auto: false, timeoutSeconds: 0 } },
};
let id = 0;
for (const [slot, options] of Object.entries(cases)) {
  await client.query(`SELECT pg_create_logical_replication_slot('${slot}', 'pgoutput')`);
  let started = 0;
  const service = await follow(slot, options, async (lsn, change) => {
    if (change.tag === 'insert') {
      started++;
      await new Promise(() => {}); // a purge that takes long
    }
  });
  await client.query(`INSERT INTO item VALUES (${++id})`);
  const committed = await one('SELECT pg_current_wal_lsn()');
  await until(5000, () => started === 1);
  const confirmed = await until(4000, () =>
    one(`SELECT confirmed_flush_lsn >= '${committed}' FROM pg_replication_slots WHERE slot_name = '${slot}'`));
  await service.stop();
  await until(5000, async () => !(await one(`SELECT active FROM pg_replication_slots WHERE slot_name = '${slot}'`)));

  const again = [];
  const next = await follow(slot, options, async (lsn, change) => {
    if (change.tag === 'insert') again.push(change.new.id);
  });
  await client.query(`INSERT INTO item VALUES (${++id})`);
  await until(5000, () => again.includes(id));
  await next.stop();
  const lost = !again.includes(id - 1);
  console.log(`${JSON.stringify(options)}\n  handler unfinished, commit confirmed: ${confirmed}; ` +
    `after a restart the row is ${lost ? 'LOST' : 'sent again'}`);
  seen[slot] = confirmed && lost;
}
await client.end();
if (JSON.stringify(seen) !== '{"auto":true,"manual":true,"silent":false}') {
  console.error('changed', seen);
  process.exit(1);
}
process.exit(0);
JS
timeout 60 node "$dir/run.mjs" "$port"

#!/usr/bin/env bash
# Subject:  which commands of Redis tell a tracking client (CLIENT TRACKING) that a key changed.
# Version:  Redis 7.0.15 (Debian 12's package, installed).
# Expected: every command that changes what a read of the key gives; none that doesn't. So XREADGROUP, XACK, XCLAIM, XGROUP
#           and XSETID (they change XPENDING and XINFO) do, PFCOUNT and an LTRIM that removes nothing don't.
# Seen:     no command on groups sends anything, although XPENDING, XINFO GROUPS and XINFO STREAM are read commands whose
#           key is tracked. The LTRIM that does nothing sends one each time; so does PFCOUNT, a reader by its name, when it
#           is the first after a PFADD (it rewrites the key).
# Matters:  a near cache may hold XPENDING or XINFO with old numbers for as long as nothing is added to the stream.
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

cat >"$dir/run.js" <<'JS'
const net = require('net');
const open = () => new Promise((ok) => {
  const socket = net.connect(+process.argv[2], '127.0.0.1', () => {
    let text = '';
    socket.on('data', (data) => { text += data; });
    // sends the commands and gives all that has come, up to the answer of a PING behind them
    ok((...commands) => new Promise((done) => {
      const check = () => {
        if (!text.endsWith('+PONG\r\n')) return;
        socket.off('data', check);
        const all = text.slice(0, -7);
        text = '';
        done(all);
      };
      socket.on('data', check);
      socket.write([...commands, 'PING'].map((line) => line + '\r\n').join(''));
    }));
  });
});
(async () => {
  const cache = await open();
  const writer = await open();
  await cache('HELLO 3', 'CLIENT TRACKING ON');
  const stream = ['XADD k 1-1 a 1', 'XADD k 2-1 a 1', 'XGROUP CREATE k g 0', 'XREADGROUP GROUP g c COUNT 1 STREAMS k >'];
  const rows = [ // what is there, what the cache reads, what another client does, whether a push was seen
    [stream, 'XPENDING k g', 'XREADGROUP GROUP g c COUNT 1 STREAMS k >', false],
    [stream, 'XPENDING k g', 'XACK k g 1-1', false],
    [stream, 'XPENDING k g', 'XCLAIM k g d 0 1-1', false],
    [stream, 'XINFO GROUPS k', 'XGROUP CREATE k h $', false],
    [stream, 'XINFO GROUPS k', 'XGROUP DESTROY k g', false],
    [stream, 'XINFO STREAM k', 'XSETID k 9-9', false],
    [stream, 'XLEN k', 'XADD k 3-1 a 1', true],
    [['PFADD k a b'], 'GET k', 'PFCOUNT k', true],
    [['PFADD k a b', 'PFCOUNT k'], 'GET k', 'PFCOUNT k', false],
    [['RPUSH k 1'], 'LRANGE k 0 -1', 'LTRIM k 0 -1', true],
  ];
  let changed = false;
  for (const [before, read, command, expected] of rows) {
    await writer('FLUSHALL', ...before);
    await cache();
    const was = await cache(read);
    await writer(command);
    const told = (await cache()).includes('invalidate');
    const is = await cache(read);
    console.log(`${read} cached, then ${command}: ${was === is ? 'same answer' : 'other answer'}, ${told ? 'told' : 'not told'}`);
    changed ||= told !== expected;
  }
  if (changed) console.error('changed');
  process.exit(changed ? 1 : 0);
})();
JS
timeout 30 node "$dir/run.js" "$port"

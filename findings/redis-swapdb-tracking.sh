#!/usr/bin/env bash
# Subject:  Redis client-side caching (CLIENT TRACKING) and SWAPDB.
# Version:  Redis 7.0.15 (Debian 12's package, installed).
# Expected: SWAPDB changes what every key of the two databases holds, so a tracking client is told to drop all it has (the
#           null invalidation that FLUSHALL and FLUSHDB send).
# Seen:     nothing is sent at all. The client goes on using a value that the key no longer has, until that key is written
#           again. FLUSHDB of another database, which changes none of the client's keys, does send the null.
# Matters:  SWAPDB is the known way to put a freshly loaded data set in place at once; near caches then mix the old and the
#           new set for as long as their keys live.
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
  const pushed = async (command) => {
    await writer('FLUSHALL', 'SELECT 1', 'SET price new', 'SELECT 0', 'SET price old');
    await cache();
    await cache('GET price');
    await writer(...command);
    const text = await cache();
    if (!text.includes('invalidate')) return 'nothing';
    return text.endsWith('_\r\n') ? 'drop all' : 'drop price';
  };
  const seen = {};
  for (const command of [['SET price other'], ['FLUSHDB'], ['SELECT 1', 'FLUSHDB', 'SELECT 0'], ['SWAPDB 0 1']]) {
    seen[command.join(', ')] = await pushed(command);
  }
  const now = (await writer('GET price')).split('\r\n')[1];
  for (const [command, told] of Object.entries(seen)) console.log(`${command}: the tracking client is told: ${told}`);
  console.log(`after SWAPDB the cached value is "old", the server's is "${now}"`);
  if (Object.values(seen).join() !== 'drop price,drop all,drop all,nothing' || now !== 'new') {
    console.error('changed');
    process.exit(1);
  }
  process.exit(0);
})();
JS
timeout 30 node "$dir/run.js" "$port"

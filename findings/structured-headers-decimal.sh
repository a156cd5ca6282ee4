#!/usr/bin/env bash
# Subject:  how structured-headers writes a decimal that rounds to a whole number.
# Version:  structured-headers 2.1.0 (npm); @svta/cml-structured-field-values 1.1.6 for comparison.
# Expected: 0.9999 is written as "1.0": rounded to three places, with at least one digit after the point (RFC 9651, 4.1.5).
# Seen:     it is written as "1.", which no parser may accept, its own included. The other library writes "1.0".
# Matters:  a whole structured field counts as absent when one member doesn't parse. A Cache-Status, Priority or telemetry
#           field built with it vanishes now and then, when a measured value happens to lie within 0.0005 of a whole one.
set -euo pipefail

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
npm install --silent --no-audit --no-fund --prefix "$dir" structured-headers@2.1.0 @svta/cml-structured-field-values@1.1.6 >/dev/null

cat >"$dir/run.mjs" <<'JS'
import { parseDictionary, serializeDictionary, serializeItem } from 'structured-headers';
import { encodeSfItem } from '@svta/cml-structured-field-values';
const written = [];
for (const value of [0.5, 0.9999, 59.9996, 60.0004]) {
  written.push(serializeItem(value));
  console.log(`${value}: structured-headers "${serializeItem(value)}", cml "${encodeSfItem(value)}"`);
}
const none = new Map();
const field = serializeDictionary(new Map([['ttl', [60, none]], ['load', [0.9999, none]]]));
let read;
try {
  read = `read as ${parseDictionary(field).size} members`;
} catch (error) {
  read = `refused: ${error.message}`;
}
console.log(`"${field}" by its own parser: ${read}`);
if (written.join(' ') !== '0.5 1. 60. 60.' || !read.startsWith('refused')) {
  console.error('changed', written);
  process.exitCode = 1;
}
JS
node "$dir/run.mjs"

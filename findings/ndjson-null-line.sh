#!/usr/bin/env bash
# split2 4.2.0 with JSON.parse, and ndjson 2.0.0 on top of it: the line `null`, which is valid JSON and valid NDJSON, ends the stream.
# An object stream's push(null) means its end, so the records after that line are lost, and the stream fails with "stream.push() after EOF".
# A writer that may send null must wrap it (`{"value":null}`); a reader must map it to something else before it pushes.
# Needs node and npm. Exits 0 if it is still so, 1 if it changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm init -y >/dev/null
npm install --no-audit --no-fund --loglevel=error split2@4.2.0 ndjson@2.0.0 >/dev/null
cat >try.mjs <<'JS'
import assert from 'node:assert/strict'
import ndjson from 'ndjson'
import split2 from 'split2'

const read = (stream, text) =>
  new Promise((resolve) => {
    const records = []
    stream.on('data', (record) => records.push(record))
    stream.on('error', ({ message }) => resolve({ records, error: message }))
    stream.on('end', () => setImmediate(() => resolve({ records, error: null })))
    stream.end(text)
  })
const text = '{"a":1}\nnull\n{"b":2}\n'
for (const [name, stream] of [['split2(JSON.parse)', split2(JSON.parse)], ['ndjson.parse()', ndjson.parse()]]) {
  const { records, error } = await read(stream, text)
  console.log(`${name}: ${JSON.stringify(records)}, ${error}`)
  assert.deepEqual(records, [{ a: 1 }])
  assert.equal(error, 'stream.push() after EOF')
}
JS
node try.mjs

#!/usr/bin/env bash
# @microsoft/fetch-event-source 2.0.1: a block of an event stream without any data line is handed to onmessage as a message with empty data.
# The HTML standard (9.2.6, "dispatch the event") says that nothing is dispatched when the data buffer is empty. So a heartbeat comment, a lone
# `retry:` or a lone `id:` that ends with an empty line makes a handler that calls JSON.parse(message.data) throw. A server avoids it by writing
# such lines without the empty line after them. And a `data` line without a colon, which the standard reads as an empty line of data, is
# dropped from the joined text.
# Needs node and npm. Exits 0 if it is still so, 1 if it changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm init -y >/dev/null
npm install --no-audit --no-fund --loglevel=error @microsoft/fetch-event-source@2.0.1 >/dev/null
cat >try.mjs <<'JS'
import assert from 'node:assert/strict'
import { getLines, getMessages } from './node_modules/@microsoft/fetch-event-source/lib/esm/parse.js'

const read = (text) => {
  const messages = []
  getLines(getMessages(() => {}, () => {}, (message) => messages.push(message.data)))(new TextEncoder().encode(text))
  return messages
}
const cases = {
  'a comment': [': still here\n\n', ['']],
  'a lone retry': ['retry: 3000\n\n', ['']],
  'a lone id': ['id: 7\n\n', ['']],
  'a comment without the empty line after it': [': still here\ndata: x\n\n', ['x']],
  'data lines a, (no colon), b; the standard: "a\\n\\nb"': ['data: a\ndata\ndata: b\n\n', ['a\nb']],
}
for (const [name, [text, seen]] of Object.entries(cases)) {
  console.log(`${name}: ${JSON.stringify(read(text))}`)
  assert.deepEqual(read(text), seen)
}
JS
node try.mjs

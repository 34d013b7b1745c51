#!/usr/bin/env bash
# eventsource-parser 3.1.1: in a stream whose lines end with a lone CR, the last event is held until the next line has come.
# The HTML standard allows CR as the end of a line. The parser waits, because the CR could be the first half of a CRLF, so the last event before
# a pause is not seen until the pause is over (a single byte more is not enough); with LF or CRLF it is seen at once. A server that wants its last word heard ends lines with LF.
# Needs node and npm. Exits 0 if it is still so, 1 if it changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm init -y >/dev/null
npm install --no-audit --no-fund --loglevel=error eventsource-parser@3.1.1 >/dev/null
cat >try.mjs <<'JS'
import assert from 'node:assert/strict'
import { createParser } from 'eventsource-parser'

for (const [name, end, seen] of [['LF', '\n', ['a', 'b']], ['CRLF', '\r\n', ['a', 'b']], ['CR', '\r', ['a']]]) {
  const events = []
  const parser = createParser({ onEvent: ({ data }) => events.push(data) })
  parser.feed(`data: a${end}${end}data: b${end}${end}`)
  console.log(`${name}: after two whole events ${JSON.stringify(events)}`)
  assert.deepEqual(events, seen)
  parser.feed(`: x${end}`)
  assert.deepEqual(events, ['a', 'b'])
}
JS
node try.mjs

#!/usr/bin/env bash
# zod 4.6.7: a JSON object's own key `__proto__` disappears without an issue from z.record, z.looseObject and z.json, while z.strictObject
# refuses it. Parsing succeeds, so a service that promises to keep labels or metadata as they were sent loses one of them and says nothing.
# Who wants to refuse it must look before zod does.
# Needs node and npm. Exits 0 if it is still so, 1 if it changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm init -y >/dev/null
npm install --no-audit --no-fund --loglevel=error zod@4.6.7 >/dev/null
cat >try.mjs <<'JS'
import assert from 'node:assert/strict'
import { z } from 'zod'

const sent = JSON.parse('{"__proto__":"kept?","a":"b"}')
assert.deepEqual(Object.keys(sent), ['__proto__', 'a'])
for (const [name, schema] of Object.entries({
  record: z.record(z.string(), z.string()),
  looseObject: z.looseObject({ a: z.string() }),
  json: z.json(),
})) {
  const { success, data } = schema.safeParse(sent)
  console.log(`${name}: success ${success}, keys ${JSON.stringify(Object.keys(data))}`)
  assert.equal(success, true)
  assert.deepEqual(Object.keys(data), ['a'])
}
const strict = z.strictObject({ a: z.string() }).safeParse(sent)
console.log(`strictObject: success ${strict.success}`)
assert.equal(strict.success, false)
JS
node try.mjs

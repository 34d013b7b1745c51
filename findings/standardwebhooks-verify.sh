#!/usr/bin/env bash
# standardwebhooks 1.1.1: verify() does not take what a Fetch handler has at hand, and it does more than verify.
# 1. A `Headers` object (request.headers) is refused with "Missing required headers", though all three are in it: only a plain object works.
# 2. The body as bytes (a Uint8Array) is refused; a Buffer or a string works.
# 3. A right signature over a body that is not JSON throws a SyntaxError, not a WebhookVerificationError: the body is parsed after the check.
#    An empty body is the exception, and answers undefined.
# Needs node and npm. Exits 0 if it is still so, 1 if it changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm init -y >/dev/null
npm install --no-audit --no-fund --loglevel=error standardwebhooks@1.1.1 >/dev/null
cat >try.mjs <<'JS'
import assert from 'node:assert/strict'
import { Webhook } from 'standardwebhooks'

const webhook = new Webhook(`whsec_${Buffer.alloc(32, 7).toString('base64')}`)
const now = new Date()
const headersOf = (body) => ({
  'webhook-id': 'msg_1',
  'webhook-timestamp': String(Math.floor(now / 1000)),
  'webhook-signature': webhook.sign('msg_1', now, body),
})
const outcome = (run) => {
  try {
    return `answers ${JSON.stringify(run())}`
  } catch (error) {
    return `throws ${error.constructor.name}: ${error.message}`
  }
}
const body = '{"a":1}'
const cases = [
  ['plain object', () => webhook.verify(body, headersOf(body)), /^answers \{"a":1\}$/],
  ['Headers', () => webhook.verify(body, new Headers(headersOf(body))), /^throws WebhookVerificationError: Missing required headers$/],
  ['Uint8Array body', () => webhook.verify(new TextEncoder().encode(body), headersOf(body)), /^throws Error: Expected payload/],
  ['Buffer body', () => webhook.verify(Buffer.from(body), headersOf(body)), /^answers \{"a":1\}$/],
  ['body that is not JSON', () => webhook.verify('done', headersOf('done')), /^throws SyntaxError/],
  ['empty body', () => webhook.verify('', headersOf('')), /^answers undefined$/],
]
for (const [name, run, seen] of cases) {
  console.log(`${name}: ${outcome(run)}`)
  assert.match(outcome(run), seen)
}
JS
node try.mjs

// The agent with RDEV_TEST_PROTOCOL as its version of the protocol.
import { registerHooks } from 'node:module'
import process from 'node:process'

const version = Number(process.env.RDEV_TEST_PROTOCOL)
delete process.env.RDEV_TEST_PROTOCOL
const declared = /export const protocolVersion = \d+/

registerHooks({
  load: (url, context, nextLoad) => {
    const loaded = nextLoad(url, context)
    if (!url.endsWith('/shared/src/wire/version.ts')) return loaded
    const source = String(loaded.source)
    if (!declared.test(source)) throw new Error('version.ts does not declare the version as it used to')
    return { ...loaded, source: source.replace(declared, `export const protocolVersion = ${version}`) }
  },
})
await import('../dev/agent-main.ts')

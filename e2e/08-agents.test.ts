// One agent replaces another, and agents of other versions.
import { readFile } from 'node:fs/promises'
import { afterEach, expect, test } from 'vitest'
import { oldestProtocolVersion, protocolVersion } from '@rdev/shared/wire/version'
import type { Child } from '../dev/child.ts'
import type { AgentOptions } from '../dev/stack.ts'
import { collect, isWhole, outputOf, until } from './setup.ts'
import type { Bundle } from './setup.ts'
import { leaveShared, sharedStack } from './shared.ts'

let stack: Bundle
afterEach(async () => {
  await leaveShared(stack)
  await stack.agent.stop()
})

/** The shared stack with an agent that was started like this. */
async function setup(options?: AgentOptions): Promise<Bundle> {
  const it = await sharedStack()
  if (!options) return it
  await it.agent.stop()
  it.printed.length = 0
  await it.startAgent(options)
  await it.connected()
  return it
}

const goesOn = { RDEV_STOP_ATTEMPTS_ON_EXIT: 'false' }
const ofProtocol = (version: number) => ({
  agentMain: new URL('agent-of-protocol.ts', import.meta.url).pathname,
  agentEnv: { ...goesOn, RDEV_TEST_PROTOCOL: String(version) },
})
/** Resolves when a program of the stack has printed a text, also if it was printed before. */
const printed = (it: Bundle, text: string) => expect.poll(() => it.printed.join('').split(text).length - 1, { timeout: 60_000 })

let busyTimes = 0
/** Tasks that write their start into a file of their own, print a line a tenth of a second, and are more than there are slots. */
async function busy(it: Bundle, count: number) {
  busyTimes++
  const command = (i: number) => `echo started >>"$HOME/mark-${busyTimes}-${i}"; for n in $(seq 40); do echo "line $n"; sleep 0.1; done`
  const bodies = Array.from({ length: count }, (_, i) => ({ kind: 'shell', project_id: 'demo', workspace: null, command: command(i) }))
  return Promise.all(bodies.map(async (body) => (await it.client.task(body)).id))
}

async function allWhole(it: Bundle, ids: readonly string[]) {
  const lines = Array.from({ length: 40 }, (_, n) => `line ${n + 1}\n`).join('')
  for (const [i, id] of ids.entries()) {
    expect(await it.client.finished(id), it.printed.join('')).toMatchObject({ status: 'succeeded', exit_code: 0 })
    const events = await collect(it.client.events(id, { resume: true }))
    expect(isWhole(events)).toBe(true)
    expect(outputOf(events)).toBe(lines)
    expect(await readFile(`${it.dataDirectory}/pods/demo/mark-${busyTimes}-${i}`, 'utf8')).toBe('started\n')
  }
}

test.each([
  [
    'the new one connects while the old one still serves',
    async (it: Bundle, old: Child) => {
      await it.startAgent({ agentEnv: goesOn })
      await printed(it, 'agent disconnected').toBe(1)
      await old.kill('SIGTERM')
    },
  ],
  [
    'the old one leaves while the new one connects',
    async (it: Bundle, old: Child) => {
      const next = it.startAgent({ agentEnv: goesOn })
      await old.kill('SIGTERM')
      await next
    },
  ],
  [
    'the old one leaves first',
    async (it: Bundle, old: Child) => {
      await old.kill('SIGTERM')
      await old.exited
      await it.startAgent({ agentEnv: goesOn })
    },
  ],
] as const)('a rolling upgrade under load, %s: nothing is lost, nothing starts twice', async (_, upgrade) => {
  stack = await setup({ agentEnv: goesOn })
  const ids = await busy(stack, 7)
  await until(stack, ids[0]!, (event) => event.type === 'output' && String(event.data.text).includes('line 5\n'))
  const old = stack.agent
  await upgrade(stack, old)
  expect(await old.exited).toMatchObject({ code: 0 })
  await allWhole(stack, ids)
})

test('an agent of the oldest supported protocol works', async () => {
  stack = await setup(ofProtocol(oldestProtocolVersion))
  expect((await stack.run({ kind: 'shell', project_id: 'demo', command: 'echo old' })).task).toMatchObject({ status: 'succeeded' })
})

test.each([protocolVersion + 1, oldestProtocolVersion - 1])(
  'an agent of protocol %i is refused, says what to do, waits long, and disturbs nobody',
  async (version) => {
    stack = await setup()
    const stranger = await stack.addAgent(ofProtocol(version))
    await printed(stack, 'the control plane does not speak the protocol of this agent').toBe(1)
    const line = stack.printed
      .join('')
      .split('\n')
      .find((text) => text.includes('does not speak the protocol'))!
    expect(JSON.parse(line)).toMatchObject({ level: 'error', protocol: version })
    expect((JSON.parse(line) as { retry_in_ms: number }).retry_in_ms).toBeGreaterThanOrEqual(60_000)
    // The connected agent was not superseded.
    expect((await stack.run({ kind: 'shell', project_id: 'demo', command: 'echo on' })).task).toMatchObject({ status: 'succeeded' })
    expect(stack.printed.join('')).not.toContain('agent disconnected')
    await stranger.kill('SIGKILL')
  },
)

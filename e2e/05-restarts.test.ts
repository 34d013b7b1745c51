// Programs are killed with SIGKILL, so they cannot clean up.
import { readFile } from 'node:fs/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { TaskEvent } from '@rdev/shared/domain/event'
import { sixtyLines } from './scenarios.ts'
import { isWhole } from './setup.ts'
import type { Bundle } from './setup.ts'
import { leaveShared, sharedStack } from './shared.ts'

let stack: Bundle
beforeAll(async () => {
  stack = await sharedStack()
})
afterAll(() => leaveShared(stack))

async function survives(mark: string, crash: () => Promise<void>) {
  await sixtyLines(stack, mark, crash)
  expect(await readFile(`${stack.dataDirectory}/pods/demo/${mark}`, 'utf8')).toBe('started\n')
}

test('the agent killed in the middle and started again: each output line once, in order, and the process started once', () =>
  survives('agent-kill', async () => {
    await stack.agent.kill('SIGKILL')
    await stack.startAgent()
  }))

test('workerd killed in the middle and started again: the same', () =>
  survives('workerd-kill', async () => {
    await stack.controlPlane.kill('SIGKILL')
    await stack.startControlPlane()
  }))

test('both killed at once: the same', () =>
  survives('both-kill', async () => {
    await Promise.all([stack.agent.kill('SIGKILL'), stack.controlPlane.kill('SIGKILL')])
    await stack.startControlPlane()
    await stack.startAgent()
  }))

test.each(['claude-code', 'opencode'])('%s goes on through the death of the agent during a tool call', async (provider) => {
  const { id } = await stack.client.task({
    kind: 'agent',
    project_id: 'demo',
    provider,
    allowed_tools: ['Bash'],
    prompt: '[[scenario: tool]] [[command: sleep 3; echo through]]',
  })
  const events: TaskEvent[] = []
  let crashed: Promise<void> | undefined
  for await (const event of stack.client.events(id, { resume: true })) {
    events.push(event)
    if (event.type === 'tool.started') {
      crashed ??= stack.agent.kill('SIGKILL').then(() => stack.startAgent())
    }
  }
  await crashed
  expect(await stack.client.finished(id), stack.printed.join('')).toMatchObject({ status: 'succeeded', attempt: 1 })
  expect(isWhole(events)).toBe(true)
  const count = (type: string) => events.filter((event) => event.type === type).length
  expect(count('tool.started')).toBe(1)
  expect(count('tool.finished')).toBe(1)
  expect(count('agent.started')).toBe(1)
})

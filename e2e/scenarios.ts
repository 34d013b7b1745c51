// Scenarios for both stacks: the one with local pods and the one in a cluster.
import { expect } from 'vitest'
import type { TaskEvent } from '@rdev/shared/domain/event'
import { isWhole, outputOf, typesOf, until } from './setup.ts'
import type { Bundle } from './setup.ts'

/** Claude Code finds and fixes the bug of the demo project; the project's own test checks it. */
export async function fixesTheFailingTest(stack: Bundle): Promise<void> {
  const prompt = 'The test in this repository fails. Find out why, fix it, and run the test.'
  const { task, events } = await stack.run({ kind: 'agent', project_id: 'demo', prompt })
  expect(task, stack.printed.join('')).toMatchObject({
    status: 'succeeded',
    provider: 'claude-code',
    pod: 'demo',
    attempt: 1,
    exit_code: 0,
  })
  expect(task.result).toBeTruthy()
  expect(task.usage?.output_tokens).toBeGreaterThan(0)
  expect(isWhole(events)).toBe(true)
  const wanted = ['task.queued', 'task.leased', 'task.started', 'agent.started', 'tool.started', 'tool.finished', 'message.assistant']
  expect(typesOf(events)).toEqual(expect.arrayContaining(wanted))
  const check = await stack.run({ kind: 'shell', project_id: 'demo', command: 'npm test' })
  expect(check.task.exit_code, outputOf(check.events)).toBe(0)
}

export async function openCodeAnswers(stack: Bundle): Promise<void> {
  const { task, events } = await stack.run({
    kind: 'agent',
    project_id: 'demo',
    provider: 'opencode',
    prompt: 'What does this repository do?',
  })
  expect(task, stack.printed.join('')).toMatchObject({ status: 'succeeded', provider: 'opencode' })
  expect(task.result).toBeTruthy()
  expect(isWhole(events)).toBe(true)
  expect(typesOf(events)).toEqual(expect.arrayContaining(['agent.started', 'message.assistant']))
}

/** The second task of a session sees the first conversation, and a task of another session does not. */
export async function followUpRemembers(stack: Bundle, provider: string): Promise<void> {
  const word = `kumquat${provider.length}`
  const agent = { kind: 'agent', project_id: 'demo', provider }
  const first = await stack.run({ ...agent, prompt: `Remember the word ${word}.` })
  expect(first.task, stack.printed.join('')).toMatchObject({ status: 'succeeded', session_id: expect.stringMatching(/^ses_/) })

  const question = { ...agent, prompt: 'Which word should you remember?' }
  const followUp = await stack.run({ ...question, session_id: first.task.session_id })
  expect(followUp.task).toMatchObject({ status: 'succeeded', session_id: first.task.session_id })
  expect(followUp.task.result).toContain(word)

  const stranger = await stack.run(question)
  expect(stranger.task.session_id).not.toBe(first.task.session_id)
  expect(stranger.task.result).not.toContain(word)
}

/** An agent task that is in the middle of a tool call, which started a background child with `setsid`; both sleep for `nap` seconds. */
export async function startNapping(stack: Bundle, provider: string): Promise<{ id: string; nap: number }> {
  const nap = 4000 + Math.floor(Math.random() * 4000) + provider.length / 100
  const prompt = `[[scenario: tool]] [[command: setsid sleep ${nap} & sleep ${nap}]]`
  const { id } = await stack.client.task({ kind: 'agent', project_id: 'demo', provider, allowed_tools: ['Bash'], prompt })
  await until(stack, id, (event) => event.type === 'tool.started')
  return { id, nap }
}

export async function cancel(stack: Bundle, id: string): Promise<void> {
  await stack.client.json('POST', `/v1/tasks/${id}/cancel`)
  expect(await stack.client.finished(id), stack.printed.join('')).toMatchObject({ status: 'cancelled', error_code: 'CANCELLED' })
}

/**
 * A task with 60 output lines, whose process writes `started` into `$HOME/<mark>` each time it starts; `crash` happens in its middle. The reader,
 * which uses only Last-Event-ID, gets each output line once and in order.
 */
export async function sixtyLines(stack: Bundle, mark: string, crash: () => Promise<void>): Promise<void> {
  const command = `echo started >> "$HOME/${mark}"; for i in $(seq 60); do echo "line $i"; sleep 0.1; done`
  const { id } = await stack.client.task({ kind: 'shell', project_id: 'demo', command })
  const events: TaskEvent[] = []
  let crashed: Promise<void> | undefined
  for await (const event of stack.client.events(id, { resume: true })) {
    events.push(event)
    if (!crashed && outputOf(events).includes('line 10\n')) crashed = crash()
  }
  await crashed
  expect(await stack.client.finished(id), stack.printed.join('')).toMatchObject({ status: 'succeeded', attempt: 1, exit_code: 0 })
  expect(isWhole(events)).toBe(true)
  expect(outputOf(events)).toBe(Array.from({ length: 60 }, (_, i) => `line ${i + 1}\n`).join(''))
}

import { afterAll, beforeAll, expect, test } from 'vitest'
import { isWhole, outputOf, processesWith } from './setup.ts'
import type { Bundle } from './setup.ts'
import { leaveShared, sharedStack } from './shared.ts'

let stack: Bundle
beforeAll(async () => {
  stack = await sharedStack()
})
afterAll(() => leaveShared(stack))

test('a shell command runs in the project with its environment, and its exit code is kept', async () => {
  const { task, events } = await stack.run({
    kind: 'shell',
    project_id: 'demo',
    command: 'ls; echo "$GREETING" >&2; exit 3',
    env: { GREETING: `it's "quoted" $HOME` },
  })
  expect(task).toMatchObject({ status: 'failed', exit_code: 3 })
  expect(outputOf(events)).toContain('sum.test.js\n')
  expect(outputOf(events, 'stderr')).toBe(`it's "quoted" $HOME\n`)
})

test('git runs with its arguments as they are', async () => {
  const { task, events } = await stack.run({ kind: 'git', project_id: 'demo', command: ['log', '--format=%s|%an', '-1'] })
  expect(task).toMatchObject({ status: 'succeeded', exit_code: 0 })
  expect(outputOf(events)).toBe('A function, its test, and a bug|demo\n')
})

test('the short forms do the same', async () => {
  for (const [form, body] of [
    ['shell', { command: 'echo short' }],
    ['git', { command: ['status', '--short'] }],
    ['claude', { prompt: 'Say hello' }],
    ['opencode', { prompt: 'Say hello' }],
  ] as const) {
    const { id } = await stack.client.json<{ id: string }>('POST', `/v1/projects/demo/${form}`, body)
    expect(await stack.client.finished(id), form).toMatchObject({ status: 'succeeded' })
  }
})

test('a timeout ends the whole tree', async () => {
  const { task } = await stack.run({ kind: 'shell', project_id: 'demo', command: 'setsid sleep 5151 & sleep 5151', timeout_s: 1 })
  expect(task).toMatchObject({ status: 'timed_out', error_code: 'TIMEOUT' })
  expect(await processesWith(`RDEV_ATTEMPT=${task.id}.1`)).toEqual([])
})

test('a working directory outside of the project is refused', async () => {
  const { task } = await stack
    .run({ kind: 'shell', project_id: 'demo', command: 'pwd', working_dir: '../../..' })
    .catch((error: unknown) => ({ task: { status: String(error) } }))
  expect(task.status === 'failed' || task.status.includes('BAD_REQUEST')).toBe(true)
})

test('ten megabytes of output arrive to the byte', async () => {
  const { task, events } = await stack.run({
    kind: 'shell',
    project_id: 'demo',
    command:
      'i=0; while [ $i -lt 100000 ]; do i=$((i+1)); echo "$i ......................................................................................"; done',
  })
  expect(task.status).toBe('succeeded')
  expect(isWhole(events)).toBe(true)
  const lines = outputOf(events).split('\n')
  expect(lines.length).toBe(100_001)
  expect(lines.slice(0, -1).every((line, i) => line.startsWith(`${i + 1} ..`))).toBe(true)
})

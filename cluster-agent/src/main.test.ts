// The program as a process that is killed and told to leave.
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readFile, writeFile } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { compileCache } from '../../dev/child.ts'
import { numbered, output, processesOf, setup } from './testing/setup.ts'

let it: Awaited<ReturnType<typeof setup>>
const children: ChildProcess[] = []
beforeEach(async () => {
  it = await setup()
})
afterEach(async () => {
  for (const child of children.splice(0)) child.kill('SIGKILL')
  await it.teardown()
})

function start(env: Readonly<Record<string, string>> = {}) {
  const child = spawn(process.execPath, [new URL('main.ts', import.meta.url).pathname], {
    env: { ...it.env, NODE_NO_WARNINGS: '1', ...compileCache, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  children.push(child)
  const lines: string[] = []
  createInterface({ input: child.stdout! }).on('line', (line) => lines.push(line))
  let errors = ''
  child.stderr!.setEncoding('utf8').on('data', (text: string) => {
    errors += text
  })
  const exited = once(child, 'exit').then(([code]) => code as number | null)
  return { child, lines, exited, errors: () => errors }
}

test('killed with SIGKILL again and again: each line once, in order, the process never restarted', async () => {
  let agent = start()
  await it.plane.until(() => it.plane.connected)
  const task = it.shell('echo started >> mark; for i in $(seq 60); do echo "line $i"; sleep 0.05; done')
  for (const seen of ['line 5\n', 'line 20\n', 'line 35\n']) {
    await it.plane.until(() => output(task).includes(seen))
    agent.child.kill('SIGKILL')
    await agent.exited
    agent = start()
  }
  await it.ended(task)
  expect(output(task)).toBe(numbered(60))
  expect(task.events.filter((event) => event.type === 'task.started')).toHaveLength(1)
  expect(await readFile(`${it.directory}/demo/workspace/mark`, 'utf8')).toBe('started\n')
  expect(task.outcome).toMatchObject({ status: 'succeeded', exit_code: 0 })
})

test('SIGTERM: the hub is told, the attempt goes on, the log has what was read; the next one finishes it', async () => {
  const first = start()
  await it.plane.until(() => it.plane.connected)
  const task = it.shell('for i in $(seq 30); do echo "line $i"; sleep 0.05; done; until [ -e go ]; do sleep 0.05; done')
  await it.plane.until(() => output(task).includes('line 3\n'))
  first.child.kill('SIGTERM')
  expect(await first.exited).toBe(0)
  await it.plane.until(() => it.plane.hubFrames.some((frame) => frame.type === 'drain'))
  // The spare shell that became the script's has no tag of the attempt; the sleeps that it runs have it.
  await expect.poll(async () => (await processesOf(task)).length, { timeout: 20_000 }).toBeGreaterThan(0)
  await writeFile(`${it.directory}/demo/workspace/go`, '')
  start()
  await it.ended(task)
  expect(output(task)).toBe(numbered(30))
})

test('told to stop attempts at its end, it leaves no process behind', async () => {
  const agent = start({ RDEV_STOP_ATTEMPTS_ON_EXIT: 'true' })
  await it.plane.until(() => it.plane.connected)
  const task = it.shell('echo ready; setsid sleep 600 & sleep 600')
  await it.plane.until(() => output(task) === 'ready\n')
  agent.child.kill('SIGTERM')
  expect(await agent.exited).toBe(0)
  expect(await processesOf(task)).toEqual([])
})

test('a second signal ends it at once', async () => {
  const agent = start({ RDEV_STOP_ATTEMPTS_ON_EXIT: 'true' })
  await it.plane.until(() => it.plane.connected)
  const task = it.shell(`trap '' INT TERM; echo ready; while :; do sleep 0.2; done`)
  await it.plane.until(() => output(task) === 'ready\n')
  agent.child.kill('SIGTERM')
  await it.plane.until(() => it.plane.hubFrames.some((frame) => frame.type === 'drain'))
  agent.child.kill('SIGINT')
  expect(await agent.exited).toBe(1)
  it.plane.abandon(task)
  it.startAgent()
  await it.plane.until(() => task.finished)
})

test('its log is one JSON object a line, tells the connection, and holds no secret', async () => {
  const agent = start()
  await it.plane.until(() => it.plane.connected)
  const task = it.shell('echo the-output', { env: { TOKEN: 'the-secret' } })
  await it.ended(task)
  agent.child.kill('SIGTERM')
  await agent.exited
  const records = agent.lines.map((line) => JSON.parse(line) as Record<string, unknown>)
  expect(records.map((record) => record.msg)).toEqual(expect.arrayContaining(['agent started', 'agent connected', 'attempt started']))
  for (const record of records) expect(record).toMatchObject({ time: expect.stringMatching(/Z$/), level: expect.any(String) })
  for (const secret of ['the-secret', 'the-output', 'token-', it.env.RDEV_CLUSTER_KEY!]) expect(agent.lines.join()).not.toContain(secret)
})

test('a wrong environment names everything that is wrong, and no value', async () => {
  const agent = start({ RDEV_URL: 'nonsense', RDEV_CLUSTER_KEY: '', RDEV_LOCAL_PODS: '[{"name":"secret-name"}]' })
  expect(await agent.exited).toBe(2)
  for (const name of ['RDEV_URL', 'RDEV_CLUSTER_KEY', 'RDEV_LOCAL_PODS']) expect(agent.errors()).toContain(name)
  expect(agent.errors()).not.toMatch(/nonsense|secret-name/)
})

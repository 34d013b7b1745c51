// The whole agent on real local pods: runner, sockets, supervisor and process, against a fake control plane that can cause faults.
import { existsSync } from 'node:fs'
import { readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { closeCodes, maxUnackedBytes } from '@rdev/shared/wire/limits'
import type { FakeTask, Fault } from './fake-control-plane.ts'
import { numbered, output, processesOf, setup } from './setup.ts'

let it: Awaited<ReturnType<typeof setup>>
beforeEach(async () => {
  it = await setup()
})
afterEach(() => it.teardown())

async function connected() {
  it.startAgent()
  await it.plane.until(() => it.plane.hubFrames.some((frame) => frame.type === 'hello'))
}
const types = (task: FakeTask) => task.events.map((event) => event.type)
const attemptDirectory = (task: FakeTask) =>
  `${it.directory}/${task.assignment.pod}/.rdev/attempts/${task.assignment.task_id}.${task.assignment.attempt}`

test('a shell task: started, output to the byte, result, directory removed', async () => {
  await connected()
  const task = it.shell(`echo "$GREETING"; echo oops >&2; pwd; exit 3`, { env: { GREETING: `it's "quoted" $HOME` }, working_dir: 'sub' })
  await it.ended(task)
  expect(task.events[0]).toMatchObject({ type: 'task.started', data: { kind: 'shell', pod: 'demo', working_dir: 'sub' } })
  expect(JSON.stringify(task.events[0])).not.toContain('quoted')
  expect(output(task)).toBe(`it's "quoted" $HOME\n${it.directory}/demo/workspace/sub\n`)
  expect(output(task, 'stderr')).toBe('oops\n')
  expect(task.outcome).toMatchObject({ status: 'failed', exit_code: 3, error_code: null, error: 'the command ended with exit code 3' })
  expect(task.outcome?.duration_ms).toBeGreaterThanOrEqual(0)
  await expect.poll(() => existsSync(attemptDirectory(task))).toBe(false)
  expect(JSON.stringify(it.logged)).not.toContain('quoted')
})

test('git gets its arguments unchanged', async () => {
  await connected()
  const task = it.task({ kind: 'git', command: ['-c', 'alias.say=!echo', 'say', `it's`, '$HOME', 'a  b'] })
  await it.ended(task)
  expect(output(task)).toContain(`it's $HOME a  b`)
  expect(task.outcome).toMatchObject({ status: 'succeeded', exit_code: 0 })
})

test('an agent task: its events, its result, deltas, its session', async () => {
  await connected()
  const task = it.task({ kind: 'agent', provider: 'claude-code', prompt: 'think hm\nsay hello\nsay done', deltas: true })
  await it.ended(task)
  expect(types(task)).toEqual(['task.started', 'message.thinking', 'message.assistant', 'message.assistant'])
  expect(task.outcome).toMatchObject({ status: 'succeeded', result: 'done', provider_session_id: 'dummy-session' })
})

test('an agent task without a final text fails with EMPTY_RESULT', async () => {
  await connected()
  const task = it.task({ kind: 'agent', provider: 'claude-code', prompt: 'think only' })
  await it.ended(task)
  expect(task.outcome).toMatchObject({ status: 'failed', error_code: 'EMPTY_RESULT' })
})

test('a worker makes a directory for each session, and the log says so', async () => {
  await connected()
  const session_id = 'ses_01jzzzzzzzzzzzzzzzzzzzzzzz'
  const first = it.shell('pwd; touch left', { pod: 'worker', session_id })
  await it.ended(first)
  expect(types(first).slice(0, 2)).toEqual(['task.started', 'workspace.prepared'])
  expect(output(first)).toBe(`${it.directory}/worker/workspaces/${session_id}\n`)
  const second = it.shell('ls', { pod: 'worker', session_id })
  await it.ended(second)
  expect(output(second)).toBe('left\n')
})

test('one task at a time holds a working copy: another is rejected, and gets it afterwards', async () => {
  await connected()
  const first = it.shell('echo ready; pwd; mkfifo gate; read x < gate', { workspace: 'side' })
  await it.plane.until(() => output(first).startsWith('ready\n'))
  const second = it.shell('pwd', { workspace: 'side' })
  await it.plane.until(() => second.rejected !== undefined)
  expect(second.rejected).toMatchObject({ reason: 'workspace_busy', detail: `held by ${first.assignment.task_id}.1` })
  const beside = [it.shell('pwd', { workspace: 'main' }), it.shell('pwd')]
  await Promise.all(beside.map((task) => it.ended(task)))
  for (const task of beside) expect(output(task)).toBe(`${it.directory}/demo/workspace\n`)
  await writeFile(`${it.directory}/demo/workspaces/side/gate`, 'go\n')
  await it.ended(first)
  const again = it.shell('pwd; ls', { workspace: 'side' })
  await it.ended(again)
  expect(output(again)).toBe(`${it.directory}/demo/workspaces/side\ngate\n`)
  expect(types(again).slice(0, 2)).toEqual(['task.started', 'workspace.prepared'])
})

test('a working directory that is missing, or a link out of the workspace, is a WORKSPACE_ERROR', async () => {
  await connected()
  await symlink('/tmp', `${it.directory}/demo/workspace/out`)
  for (const working_dir of ['nowhere', 'out']) {
    const task = it.shell('pwd', { working_dir })
    await it.ended(task)
    expect(task.outcome).toMatchObject({ status: 'failed', error_code: 'WORKSPACE_ERROR' })
  }
})

test('an assignment that cannot run is rejected with a reason, before anything was started', async () => {
  await connected()
  const missing = it.shell('true', { pod: 'nowhere' })
  const escaping = it.shell('true', { working_dir: '../..' })
  const reserved = it.shell('true', { env: { RDEV_ATTEMPT: 'x' } })
  const bypass = it.task({ kind: 'agent', provider: 'claude-code', prompt: 'say x', permission_mode: 'bypassPermissions' })
  const unknown = it.task({ kind: 'agent', provider: 'opencode', prompt: 'say x' })
  const wrongKind = it.task({ kind: 'git', command: 'status' })
  await it.plane.until(() => [missing, escaping, reserved, bypass, unknown, wrongKind].every((task) => task.status === 'rejected'))
  expect(missing.rejected?.reason).toBe('no_such_pod')
  for (const task of [escaping, reserved, bypass, wrongKind]) expect(task.rejected?.reason).toBe('invalid')
  expect(unknown.rejected?.reason).toBe('binary_missing')
})

test('an attempt that has ended is not started again', async () => {
  await connected()
  const task = it.shell('echo once')
  await it.ended(task)
  it.plane.repeat(task)
  await it.plane.until(() => task.rejected !== undefined)
  expect(task.rejected?.reason).toMatch(/^(floor|already_ended)$/)
  await expect.poll(() => existsSync(attemptDirectory(task))).toBe(false)
  // Also not by a new agent.
  task.rejected = undefined
  it.startAgent()
  await it.plane.until(() => it.plane.epoch === 2 && it.plane.hubFrames.filter((frame) => frame.type === 'hello').length === 2)
  it.plane.repeat(task)
  await it.plane.until(() => task.rejected !== undefined)
  expect(task.rejected).toMatchObject({ reason: 'floor' })
})

test('a repeated assignment of a running attempt is accepted again, and started once', async () => {
  await connected()
  const task = it.shell('echo started >> mark; mkfifo gate; echo ready; read x < gate')
  await it.plane.until(() => output(task) === 'ready\n')
  const accepted = () => it.plane.hubFrames.filter((frame) => frame.type === 'accepted').length
  const before = accepted()
  it.plane.repeat(task)
  it.plane.repeat(task)
  await it.plane.until(() => accepted() >= before + 2)
  await writeFile(`${it.directory}/demo/workspace/gate`, 'go\n')
  await it.ended(task)
  expect(await readFile(`${it.directory}/demo/workspace/mark`, 'utf8')).toBe('started\n')
})

test('cancel ends the whole process tree, and the log has the output before it', async () => {
  await connected()
  const task = it.shell(`trap '' INT TERM; setsid sleep 600 & echo ready; while :; do sleep 1; done`)
  await it.plane.until(() => output(task) === 'ready\n')
  await expect.poll(async () => (await processesOf(task)).length, { timeout: 10_000 }).toBeGreaterThanOrEqual(2)
  it.plane.cancel(task, 1)
  await it.ended(task)
  expect(task.outcome).toMatchObject({ status: 'cancelled', error_code: 'CANCELLED' })
  expect(output(task)).toBe('ready\n')
  expect(await processesOf(task)).toEqual([])
})

test('a cancel while the line is away takes effect at the next resume', async () => {
  await connected()
  const task = it.shell('echo ready; sleep 600')
  await it.plane.until(() => output(task) === 'ready\n')
  it.plane.cutLine(task)
  await it.plane.until(() => task.line === undefined)
  it.plane.cancel(task, 1)
  await it.ended(task)
  expect(task.outcome).toMatchObject({ status: 'cancelled' })
})

test('a cancel after the process has ended by itself changes nothing', async () => {
  await connected()
  const gate = Promise.withResolvers<void>()
  it.plane.gate = gate.promise
  const task = it.shell('echo done')
  await it.plane.until(() => task.unackedBytes > 0)
  await expect.poll(() => existsSync(`${attemptDirectory(task)}/exit`)).toBe(true)
  it.plane.cancel(task)
  gate.resolve()
  await it.ended(task)
  expect(task.outcome).toMatchObject({ status: 'succeeded', exit_code: 0 })
})

test('the time limit of the task ends the process tree', async () => {
  await connected()
  const task = it.shell('setsid sleep 600 & echo ready; sleep 600', { timeout_s: 1 })
  await it.ended(task)
  expect(task.outcome).toMatchObject({ status: 'timed_out', error_code: 'TIMEOUT' })
  expect(await processesOf(task)).toEqual([])
})

test('silence longer than idle_timeout_s ends the attempt; output keeps it alive', async () => {
  await connected()
  const silent = it.shell('echo ready; sleep 600', { idle_timeout_s: 1 })
  const busy = it.shell('for i in 1 2 3 4 5 6; do echo $i; sleep 0.4; done', { idle_timeout_s: 1 })
  await Promise.all([it.ended(silent), it.ended(busy)])
  expect(silent.outcome).toMatchObject({ status: 'timed_out', error_code: 'TIMEOUT', error: expect.stringContaining('idle_timeout_s') })
  expect(busy.outcome).toMatchObject({ status: 'succeeded' })
})

test('if a code agent’s process does not exit after its result, the result counts and the process is ended', async () => {
  await connected()
  const task = it.task({ kind: 'agent', provider: 'claude-code', prompt: 'say x\ndone\nlinger' })
  await it.ended(task)
  expect(task.outcome).toMatchObject({ status: 'succeeded', result: 'x' })
  expect(await processesOf(task)).toEqual([])
})

test('lines cut at several frames, before or after the write: the log is exact', async () => {
  await connected()
  // Only a few cuts, because each makes the next wait longer.
  const faults = new Map<number, Fault>([
    [2, 'lose'],
    [4, 'lose_ack'],
    [7, 'lose'],
    [9, 'lose_ack'],
  ])
  let frames = 0
  it.plane.fault = () => faults.get(++frames) ?? 'none'
  const task = it.shell('i=0; while [ $i -lt 60 ]; do i=$((i+1)); echo "line $i"; sleep 0.01; done')
  await it.plane.until(() => task.outcome !== undefined, 30_000)
  expect(output(task)).toBe(numbered(60))
  expect(types(task).filter((type) => type === 'task.started')).toHaveLength(1)
  expect(task.lines).toBeGreaterThan(2)
})

test('the hub socket cut again and again: nothing is started twice, nothing is lost', async () => {
  await connected()
  const task = it.shell('echo started >> mark; for i in $(seq 30); do echo "line $i"; sleep 0.03; done')
  await it.plane.until(() => output(task).includes('line 5\n'))
  it.plane.cutHub()
  await it.plane.until(() => it.plane.connected && it.plane.epoch === 2)
  it.plane.cutHub()
  await it.ended(task)
  expect(output(task)).toBe(numbered(30))
  expect(await readFile(`${it.directory}/demo/workspace/mark`, 'utf8')).toBe('started\n')
})

test('if the log does not acknowledge, at most 1 MiB is sent and the reading stops; later it goes on to the last byte', async () => {
  await connected()
  const gate = Promise.withResolvers<void>()
  it.plane.gate = gate.promise
  const task = it.shell('head -c 20000000 /dev/zero | tr "\\0" x | fold -w 99')
  await it.plane.until(() => task.unackedBytes > maxUnackedBytes * 0.9)
  await expect.poll(() => existsSync(`${attemptDirectory(task)}/exit`), { timeout: 10_000 }).toBe(true)
  // The window does not count the cursors and the JSON around the events.
  expect(task.maxUnackedBytes).toBeLessThan(maxUnackedBytes * 1.05)
  gate.resolve()
  await it.plane.until(() => task.outcome !== undefined, 60_000)
  expect(output(task).replaceAll('\n', '')).toBe('x'.repeat(20_000_000))
  expect(task.maxUnackedBytes).toBeLessThan(maxUnackedBytes * 1.05)
})

test('two agents of one cluster: the second takes over, and each output line is in the log once', async () => {
  await connected()
  const task = it.shell('for i in $(seq 40); do echo "line $i"; sleep 0.05; done')
  await it.plane.until(() => output(task).includes('line 5\n'))
  it.startAgent()
  await it.plane.until(() => it.plane.epoch === 2 && task.lines >= 2)
  await it.ended(task)
  expect(output(task)).toBe(numbered(40))
  expect(types(task).filter((type) => type === 'task.started')).toHaveLength(1)
})

test('when an agent leaves and another comes, the process goes on and the log is exact', async () => {
  const first = it.startAgent({ stopAttemptsOnExit: false })
  await it.plane.until(() => it.plane.connected)
  const task = it.shell('echo $$ >> mark; for i in $(seq 40); do echo "line $i"; sleep 0.03; done')
  const agentTask = it.task({ kind: 'agent', provider: 'claude-code', prompt: 'say one\nsleep 1\nsay two\nsay three' })
  await it.plane.until(() => output(task).includes('line 10\n') && agentTask.events.length >= 2)
  await first.stop()
  await it.plane.until(() => it.plane.hubFrames.some((frame) => frame.type === 'drain'))
  const told = task.events.length
  it.startAgent()
  await Promise.all([it.ended(task), it.ended(agentTask)])
  expect(task.events.length).toBeGreaterThan(told)
  expect(output(task)).toBe(numbered(40))
  expect((await readFile(`${it.directory}/demo/workspace/mark`, 'utf8')).trim().split('\n')).toHaveLength(1)
  expect(types(agentTask)).toEqual(['task.started', 'message.assistant', 'message.assistant', 'message.assistant'])
  expect(agentTask.outcome).toMatchObject({ status: 'succeeded', result: 'three' })
})

test('an attempt that ended while no agent was there is read to its end and reported', async () => {
  const first = it.startAgent({ stopAttemptsOnExit: false })
  await it.plane.until(() => it.plane.connected)
  const task = it.shell('echo before; sleep 0.5; echo after; exit 4')
  await it.plane.until(() => output(task) === 'before\n')
  await first.stop()
  await expect.poll(() => existsSync(`${attemptDirectory(task)}/exit`), { timeout: 10_000 }).toBe(true)
  it.startAgent()
  await it.ended(task)
  expect(output(task)).toBe('before\nafter\n')
  expect(task.outcome).toMatchObject({ status: 'failed', exit_code: 4 })
})

test('an attempt that the hub does not want any more is stopped and removed at the next hello', async () => {
  await connected()
  const task = it.shell('echo ready; sleep 600')
  await it.plane.until(() => output(task) === 'ready\n')
  it.plane.abandon(task)
  it.plane.sendHub({ type: 'sync' })
  await it.plane.until(() => task.finished)
  expect(await processesOf(task)).toEqual([])
  expect(task.outcome).toBeUndefined()
  await expect.poll(() => existsSync(attemptDirectory(task))).toBe(false)
})

test('when the log is complete without the attempt, the attempt is ended', async () => {
  await connected()
  const task = it.shell('echo ready; sleep 600')
  await it.plane.until(() => output(task) === 'ready\n')
  it.plane.abandon(task)
  task.line?.close(closeCodes.ended)
  await it.plane.until(() => task.finished)
  expect(await processesOf(task)).toEqual([])
})

test('when a pod is gone its attempt is lost, and the log says so', async () => {
  await connected()
  const task = it.shell('echo ready; exec sleep 5', { pod: 'worker' })
  await it.plane.until(() => output(task) === 'ready\n')
  await rm(`${it.directory}/worker`, { recursive: true, force: true, maxRetries: 5, retryDelay: 20 })
  await it.plane.until(() => task.outcome !== undefined)
  expect(task.outcome).toMatchObject({ status: 'lost', error_code: 'LOST' })
})

test('a stop that ends attempts resolves when no process is left', async () => {
  const agent = it.startAgent({ stopAttemptsOnExit: true })
  await it.plane.until(() => it.plane.connected)
  const task = it.shell('echo ready; setsid sleep 600 & sleep 600')
  await it.plane.until(() => output(task) === 'ready\n')
  await agent.stop()
  expect(await processesOf(task)).toEqual([])
  expect(task.outcome).toMatchObject({ status: 'failed', error_code: 'POD_UNAVAILABLE' })
})

test('a draining agent does not dial again: it would supersede another agent', async () => {
  const agent = it.startAgent({ stopAttemptsOnExit: true })
  await it.plane.until(() => it.plane.connected)
  const running = it.shell(`trap '' INT TERM; echo ready; while :; do sleep 0.2; done`)
  await it.plane.until(() => output(running) === 'ready\n')
  const stopped = agent.stop()
  await it.plane.until(() => it.plane.hubFrames.some((frame) => frame.type === 'drain'))
  it.plane.cutHub()
  await it.plane.until(() => !it.plane.connected)
  // Its lines go on: the log gets what is left to send.
  await stopped
  expect(it.plane.epoch).toBe(1)
  expect(running.outcome).toMatchObject({ status: 'failed', error_code: 'POD_UNAVAILABLE' })
})

test('frames and fields of a newer control plane that this agent does not know change nothing', async () => {
  await connected()
  const task = it.shell('echo ready; mkfifo gate; read x < gate; echo done')
  await it.plane.until(() => output(task) === 'ready\n')
  it.plane.sendHub({ type: 'weather', sunny: true } as never)
  task.line?.send(JSON.stringify({ type: 'weather', sunny: true }))
  it.plane.repeat(Object.assign(task, { assignment: { ...task.assignment, mood: 'fine' } }))
  await writeFile(`${it.directory}/demo/workspace/gate`, 'go\n')
  await it.ended(task)
  expect(output(task)).toBe('ready\ndone\n')
  expect([it.plane.epoch, task.lines]).toEqual([1, 1])
})

test('a draining agent starts nothing new', async () => {
  const agent = it.startAgent({ stopAttemptsOnExit: true })
  await it.plane.until(() => it.plane.connected)
  const running = it.shell(`trap '' INT TERM; echo ready; while :; do sleep 0.2; done`)
  await it.plane.until(() => output(running) === 'ready\n')
  const stopped = agent.stop()
  const late = it.shell('echo late')
  await it.plane.until(() => late.rejected !== undefined)
  expect(late.rejected?.reason).toBe('draining')
  it.plane.repeat(running)
  await stopped
  expect(running.rejected).toBeUndefined()
})

test('an agent that the hub refuses with Retry-After dials again after that time', async () => {
  it.plane.refuse = { status: 503, retryAfterS: 1 }
  it.startAgent()
  await it.plane.until(() => it.plane.connections === 1)
  it.plane.refuse = undefined
  await it.plane.until(() => it.plane.connected)
  expect(it.logged.find(({ phrase }) => phrase === 'agent disconnected')?.fields).toMatchObject({ retry_in_ms: 1000 })
})

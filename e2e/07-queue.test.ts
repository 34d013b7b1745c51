// The queue as its API shows it. The chaos suite tests it while programs die.
import { readFile, rm, writeFile } from 'node:fs/promises'
import type { TaskBatchView } from '@rdev/shared/api/batch'
import type { QueueView } from '@rdev/shared/api/queue'
import type { TaskView } from '@rdev/shared/api/tasks'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { collect, isWhole, until } from './setup.ts'
import type { Bundle } from './setup.ts'
import { leaveShared, sharedStack } from './shared.ts'

let stack: Bundle
let usual: number
beforeAll(async () => {
  stack = await sharedStack()
  usual = (await stack.client.json<{ max_running: number }>('GET', '/v1/projects/demo')).max_running
})
afterAll(async () => {
  await leaveShared(stack)
  await patch({ max_running: usual })
})
afterEach(async () => {
  await patch({ max_running: 4 })
  await stack.client.json('POST', '/v1/projects/demo/resume')
  await rm(home('ledger'), { force: true })
})

const home = (name: string) => `${stack.dataDirectory}/pods/demo/${name}`
const ledger = async () => (await readFile(home('ledger'), 'utf8').catch(() => '')).split('\n').filter(Boolean)
const patch = (limits: Record<string, unknown>) => stack.client.json('PATCH', '/v1/projects/demo', limits)
const lane = async () => (await stack.client.json<QueueView>('GET', '/v1/queue?project_id=demo')).lanes[0]
const head = async () => (await lane())?.head
const reason = async () => (await head())?.reason

const shell = (command: string, more: Record<string, unknown> = {}) => ({ kind: 'shell', project_id: 'demo', command, ...more })
const note = (text: string) => `echo ${text} >> "$HOME/ledger"`
/** Queues a task that runs until `release` is called. */
async function held(name: string, more: Record<string, unknown> = {}) {
  const { id } = await stack.client.task(
    shell(
      `${note(`${name} began`)}; until [ -e "$HOME/${name}" ]; do sleep 0.05; done; rm "$HOME/${name}"; ${note(`${name} ended`)}`,
      more,
    ),
  )
  return { id, started: () => until(stack, id, ({ type }) => type === 'task.started'), release: () => writeFile(home(name), '') }
}
async function succeeded(ids: readonly string[]): Promise<readonly TaskView[]> {
  const ended = await Promise.all(ids.map((id) => stack.client.finished(id)))
  for (const task of ended) expect(task, stack.printed.join('')).toMatchObject({ status: 'succeeded' })
  return ended
}

test('tasks of one workspace run one after another; tasks of another, or of none, run at the same time', async () => {
  const first = await held('first')
  await first.started()
  const second = await stack.client.task(shell(note('second')))
  const beside = [shell(note('none'), { workspace: null }), shell(note('another'), { workspace: 'another' })]
  await succeeded((await Promise.all(beside.map((body) => stack.client.task(body)))).map(({ id }) => id))
  expect(await head()).toMatchObject({ task_id: second.id, reason: 'workspace', by: first.id })
  expect((await ledger()).toSorted()).toEqual(['another', 'first began', 'none'])
  await first.release()
  await succeeded([first.id, second.id])
  expect((await ledger()).slice(3)).toEqual(['first ended', 'second'])
})

test('of a batch of a hundred with one wrong task, ninety-nine run once each', async () => {
  const tasks = Array.from({ length: 100 }, (_, i) => (i === 50 ? { kind: 'shell' } : shell(note(`task-${i}`), { workspace: null })))
  const { results } = await stack.client.json<TaskBatchView>('POST', '/v1/tasks/batch', { tasks })
  expect(results.map(({ status }) => status)).toEqual(tasks.map((_, i) => (i === 50 ? 400 : 202)))
  const ids = results.flatMap((result) => ('task' in result ? [result.task.id] : []))
  await succeeded(ids)
  const wanted = tasks.flatMap((_, i) => (i === 50 ? [] : [`task-${i}`]))
  expect((await ledger()).toSorted()).toEqual(wanted.toSorted())
  expect(isWhole(await collect(stack.client.events(ids[98]!)))).toBe(true)
})

test('a task that failed is retried as a new task', async () => {
  const { task } = await stack.run(shell('[ -e "$HOME/mended" ]', { labels: { of: 'retry' } }))
  expect(task.status).toBe('failed')
  await writeFile(home('mended'), '')
  const again = await stack.client.json<TaskView>('POST', `/v1/tasks/${task.id}/retry`)
  expect(again).toMatchObject({ retry_of: task.id, labels: { of: 'retry' } })
  await succeeded([again.id])
  expect(await stack.client.finished(task.id)).toEqual(task)
})

test('a paused project starts nothing, finishes what runs, and continues by priority when it is resumed', async () => {
  const running = await held('running')
  await running.started()
  await stack.client.json('POST', '/v1/projects/demo/pause')
  const queued: string[] = []
  for (const priority of [300, 100, 200, 100]) {
    queued.push((await stack.client.task(shell(note(`${priority}-${queued.length}`), { priority }))).id)
  }
  await running.release()
  await succeeded([running.id])
  expect(await lane()).toMatchObject({ depth: 4, live: 0, paused: true, head: { task_id: queued[1], reason: 'paused' } })
  expect((await lane())?.priorities).toEqual([
    { priority: 100, depth: 2 },
    { priority: 200, depth: 1 },
    { priority: 300, depth: 1 },
  ])
  await stack.client.json('POST', '/v1/projects/demo/resume')
  await succeeded(queued)
  expect((await ledger()).slice(2)).toEqual(['100-1', '100-3', '200-2', '300-0'])
})

test('no more than max_running tasks run, and raising it starts waiting ones', async () => {
  await patch({ max_running: 1 })
  const one = await held('one', { workspace: null })
  await one.started()
  const two = await held('two', { workspace: null })
  expect(await head()).toMatchObject({ task_id: two.id, reason: 'max_running' })
  await patch({ max_running: 2 })
  await two.started()
  expect(await ledger()).toEqual(['one began', 'two began'])
  await Promise.all([one.release(), two.release()])
  await succeeded([one.id, two.id])
})

test('a task with run_after waits for its time, and does not delay others', async () => {
  const at = (ms: number) => new Date(Date.now() + ms).toISOString()
  const muchLater = await stack.client.task(shell(note('much later'), { run_after: at(3_600_000), priority: 0 }))
  expect(await head()).toMatchObject({ task_id: muchLater.id, reason: 'later', until: muchLater.run_after })
  await succeeded([(await stack.client.task(shell(note('now')))).id])
  const run_after = at(1_500)
  const [ended] = await succeeded([(await stack.client.task(shell(note('later'), { run_after }))).id])
  expect(Date.parse(ended!.started_at!)).toBeGreaterThanOrEqual(Date.parse(run_after))
  await stack.client.json('POST', `/v1/tasks/${muchLater.id}/cancel`)
  expect(await ledger()).toEqual(['now', 'later'])
})

test('a task that no rule of its row delays waits for a slot, or for the agent', async () => {
  await patch({ max_running: 10 })
  const names = ['a', 'b', 'c', 'd']
  const all = await Promise.all(names.map((name) => held(name, { workspace: null })))
  await Promise.all(all.map(({ started }) => started()))
  const fifth = await stack.client.task(shell('true', { workspace: null }))
  await expect.poll(head, { timeout: 10_000 }).toMatchObject({ task_id: fifth.id, reason: 'no_place' })
  await Promise.all(all.map(({ release }) => release()))
  await succeeded([...all.map(({ id }) => id), fifth.id])

  await stack.agent.kill('SIGKILL')
  const waiting = await stack.client.task(shell('true'))
  await expect.poll(reason, { timeout: 10_000 }).toBe('agent_away')
  await stack.startAgent()
  await succeeded([waiting.id])
  expect(await lane()).toBeUndefined()
})

/** Repeats a request, as a client does, until there is a definite answer. */
async function insist(key: string, body: unknown): Promise<{ task: TaskView; replayed: boolean }> {
  for (;;) {
    const response = await stack.client.fetch('POST', '/v1/tasks', { body, headers: { 'idempotency-key': key } }).catch(() => undefined)
    if (response?.status === 202) {
      return { task: (await response.json()) as TaskView, replayed: response.headers.get('idempotency-replayed') === 'true' }
    }
    const code = response && ((await response.json().catch(() => ({}))) as { code?: string }).code
    // The server is away, is being killed, or another request with the key is in flight. A client does not repeat a request after another status.
    if (response && ![409, 500, 502, 503].includes(response.status)) throw new Error(`${response.status} ${code}`)
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
}
const labelled = async (name: string) => {
  const { data } = await stack.client.json<{ data: TaskView[] }>('GET', '/v1/tasks?limit=200')
  return data.filter(({ labels }) => labels.of === name)
}

test('one Idempotency-Key from fifty clients at once makes one task, and the answer is kept', async () => {
  const body = shell('true', { labels: { of: 'fifty' } })
  const answers = await Promise.all(Array.from({ length: 50 }, () => insist('fifty', body)))
  expect(new Set(answers.map(({ task }) => task.id)).size).toBe(1)
  expect(answers.filter(({ replayed }) => !replayed)).toHaveLength(1)
  await succeeded([answers[0]!.task.id])
  expect(await insist('fifty', body)).toEqual({ task: answers[0]!.task, replayed: true })
  expect(await labelled('fifty')).toHaveLength(1)
  const other = await stack.client.fetch('POST', '/v1/tasks', { body: shell('false'), headers: { 'idempotency-key': 'fifty' } })
  expect([other.status, await other.json()]).toEqual([422, expect.objectContaining({ code: 'IDEMPOTENCY_MISMATCH' })])
})

test('the Worker killed in the middle of requests: each is repeated with its key, and none makes two tasks', async () => {
  await stack.client.json('POST', '/v1/projects/demo/pause')
  const bodies = Array.from({ length: 40 }, (_, i) => shell('true', { workspace: null, labels: { of: 'killed', i: String(i) } }))
  let answered = 0
  const all = Promise.all(bodies.map((body, i) => insist(`killed ${i}`, body).finally(() => answered++)))
  await expect.poll(() => answered, { interval: 2, timeout: 30_000 }).toBeGreaterThan(4)
  await stack.controlPlane.kill('SIGKILL')
  await stack.startControlPlane()
  const ids = (await all).map(({ task }) => task.id)
  const made = await labelled('killed')
  expect(made.map(({ id }) => id).toSorted()).toEqual(ids.toSorted())
  expect(made.map(({ labels }) => Number(labels.i)).toSorted((a, b) => a - b)).toEqual(bodies.map((_, i) => i))
  await stack.client.json('POST', '/v1/projects/demo/resume')
  await succeeded(ids)
})

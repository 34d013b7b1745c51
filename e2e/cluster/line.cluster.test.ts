// The scenarios of the local suite again, in restricted pods of a real Kubernetes: the same control plane, the same agent, pods for directories.
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { TaskEvent } from '@rdev/shared/domain/event'
import { collect, isWhole, outputOf, setup, teardown, typesOf, until } from '../setup.ts'
import type { Bundle } from '../setup.ts'
import { canBreakCluster, startComponent, stopComponent } from './faults.ts'
import { createClusterPods, modelHost, nodeAddress } from './pods.ts'
import type { ClusterPods, ContainerProcess } from './pods.ts'

let stack: Bundle
let pods: ClusterPods
beforeAll(async () => {
  if (!process.env.KUBECONFIG)
    throw new Error('The cluster suite needs KUBECONFIG; e2e/cluster/up.sh brings a cluster up and says how to run it')
  stack = await setup({
    modelHost: nodeAddress,
    podHost: async (port, workspace) => {
      const env = { ANTHROPIC_BASE_URL: `http://${modelHost}:${port}`, ANTHROPIC_API_KEY: 'scripted' }
      pods = await createClusterPods({ namespace: 'rdev-line', workspace, env })
      return pods.agentEnv
    },
  })
}, 300_000)
afterAll(async () => {
  await teardown(stack)
  await pods?.remove()
})

test('a real Claude Code task, by exec, fixes the failing test', async () => {
  const { task, events } = await stack.run({
    kind: 'agent',
    project_id: 'demo',
    prompt: 'The test in this repository fails. Find out why, fix it, and run the test.',
  })
  expect(task, stack.printed.join('')).toMatchObject({ status: 'succeeded', provider: 'claude-code', pod: 'demo', exit_code: 0 })
  expect(isWhole(events)).toBe(true)
  expect(typesOf(events)).toEqual(expect.arrayContaining(['agent.started', 'tool.started', 'tool.finished', 'message.assistant']))
  const check = await stack.run({ kind: 'shell', project_id: 'demo', command: 'npm test' })
  expect(check.task.exit_code, outputOf(check.events)).toBe(0)
})

test('a real OpenCode task, by port-forward, answers', async () => {
  const { task, events } = await stack.run({
    kind: 'agent',
    project_id: 'demo',
    provider: 'opencode',
    prompt: 'What does this repository do?',
  })
  expect(task, stack.printed.join('')).toMatchObject({ status: 'succeeded', provider: 'opencode' })
  expect(task.result).toBeTruthy()
  expect(isWhole(events)).toBe(true)
})

test.each(['claude-code', 'opencode'])('%s: a follow-up in the same session has seen the first conversation', async (provider) => {
  const first = await stack.run({ kind: 'agent', project_id: 'demo', provider, prompt: 'Remember the word tamarind.' })
  const followUp = await stack.run({
    kind: 'agent',
    project_id: 'demo',
    provider,
    prompt: 'Which word should you remember?',
    session_id: first.task.session_id,
  })
  expect(followUp.task.result, stack.printed.join('')).toContain('tamarind')
})

test('a shell task streams, and every seq resumes with exactly the rest', async () => {
  const { task, events } = await stack.run({
    kind: 'shell',
    project_id: 'demo',
    command: 'id -u; for i in 1 2 3; do echo "line $i"; sleep 0.1; done; echo oops >&2; exit 4',
  })
  expect(task).toMatchObject({ status: 'failed', exit_code: 4 })
  expect(outputOf(events)).toBe('1000\nline 1\nline 2\nline 3\n')
  expect(outputOf(events, 'stderr')).toBe('oops\n')
  for (let after = 0; after <= events.length; after++)
    expect(await collect(stack.client.events(task.id, { after }))).toEqual(events.slice(after))
})

test('a task for the pool runs in a worker', async () => {
  const { task } = await stack.run({ kind: 'shell', project_id: 'demo', target: 'pool', command: 'echo here' })
  expect(task).toMatchObject({ status: 'succeeded', pod: expect.stringMatching(/^worker-[12]$/) })
})

test.each(['claude-code', 'opencode'])(
  '%s: cancel during a tool call with a setsid child leaves no process in the container',
  async (provider) => {
    const nap = 7000 + Math.floor(Math.random() * 1000)
    const { id } = await stack.client.task({
      kind: 'agent',
      project_id: 'demo',
      provider,
      allowed_tools: ['Bash'],
      prompt: `[[scenario: tool]] [[command: setsid sleep ${nap} & sleep ${nap}]]`,
    })
    await until(stack, id, (event) => event.type === 'tool.started')
    await expect
      .poll(() => pods.processesWith('demo', `RDEV_ATTEMPT=${id}.1`).then((pids) => pids.length), { timeout: 20_000 })
      .toBeGreaterThanOrEqual(3)
    await stack.client.json('POST', `/v1/tasks/${id}/cancel`)
    expect(await stack.client.finished(id), stack.printed.join('')).toMatchObject({ status: 'cancelled', error_code: 'CANCELLED' })
    expect(await pods.processesWith('demo', `RDEV_ATTEMPT=${id}.1`)).toEqual([])
    expect((await pods.processes('demo')).filter(({ command }) => command.includes(`sleep ${nap}`))).toEqual([])
  },
)

const lines = Array.from({ length: 60 }, (_, i) => `line ${i + 1}\n`).join('')

/** A 60-line task whose process leaves a mark each time it starts; `crash` happens in its middle, and cuts every exec that the agent holds. */
async function sixtyLines(mark: string, crash: () => Promise<void>) {
  const { id } = await stack.client.task({
    kind: 'shell',
    project_id: 'demo',
    command: `echo started >> ../${mark}; for i in $(seq 60); do echo "line $i"; sleep 0.15; done`,
  })
  const events: TaskEvent[] = []
  let before: readonly ContainerProcess[] = []
  const crashInTheMiddle = async () => {
    before = await pods.processes('demo')
    await crash()
  }
  let crashed: Promise<void> | undefined
  for await (const event of stack.client.events(id, { resume: true })) {
    events.push(event)
    if (!crashed && outputOf(events).includes('line 10\n')) crashed = crashInTheMiddle()
  }
  await crashed
  expect(await stack.client.finished(id), stack.printed.join('')).toMatchObject({ status: 'succeeded', attempt: 1, exit_code: 0 })
  expect(isWhole(events)).toBe(true)
  expect(outputOf(events)).toBe(lines)
  expect((await pods.run('demo', `cat ~/${mark}`)).stdout).toBe('started\n')
  // A cut exec leaves its processes alone: the followers and shells of before must have ended by themselves.
  expect(before.filter(({ command }) => command.startsWith('tail ')).length).toBeGreaterThanOrEqual(2)
  const left = async () =>
    (await pods.processes('demo')).filter((now) => before.some(({ pid, command }) => pid === now.pid && command === now.command))
  await expect.poll(left, { timeout: 30_000 }).toEqual([])
}

test('the agent killed in the middle and started again: each line once, in order, one process', () =>
  sixtyLines('agent-kill', async () => {
    await stack.agent.kill('SIGKILL')
    await stack.startAgent()
  }))

test.runIf(canBreakCluster)('exec cut in the middle by the API server going away and coming back: the same', () =>
  sixtyLines('apiserver-stop', async () => {
    await stopComponent('apiserver')
    await startComponent('apiserver')
  }),
)

test('no follower or other process of ours is left in the pods once the agent has gone', async () => {
  await stack.agent.stop()
  for (const pod of [pods.project, ...pods.workers]) {
    await expect.poll(() => pods.processes(pod), { timeout: 30_000 }).toEqual([])
  }
  await stack.startAgent()
  await stack.connected()
})

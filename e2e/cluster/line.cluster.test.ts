// The scenarios of the local suite in restricted pods of a real Kubernetes: the same control plane and agent, with pods instead of directories.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { cancel, fixesTheFailingTest, followUpRemembers, openCodeAnswers, sixtyLines, startNapping } from '../scenarios.ts'
import { collect, outputOf, setup, teardown } from '../setup.ts'
import type { Bundle } from '../setup.ts'
import { startComponent, stopComponent } from './faults.ts'
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

test('a real Claude Code task, by exec, fixes the failing test', () => fixesTheFailingTest(stack))

test('a real OpenCode task, by port-forward, answers', () => openCodeAnswers(stack))

test.each(['claude-code', 'opencode'])('%s: a follow-up in the same session has seen the first conversation', (provider) =>
  followUpRemembers(stack, provider),
)

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
    const { id, nap } = await startNapping(stack, provider)
    await expect
      .poll(() => pods.processesWith('demo', `RDEV_ATTEMPT=${id}.1`).then((pids) => pids.length), { timeout: 20_000 })
      .toBeGreaterThanOrEqual(3)
    await cancel(stack, id)
    expect(await pods.processesWith('demo', `RDEV_ATTEMPT=${id}.1`)).toEqual([])
    expect((await pods.processes('demo')).filter(({ command }) => command.includes(`sleep ${nap}`))).toEqual([])
  },
)

/** `crash` cuts every exec of the agent. A cut does not end processes in the pod: followers and shells must end by themselves. */
async function survives(mark: string, crash: () => Promise<void>) {
  let before: readonly ContainerProcess[] = []
  await sixtyLines(stack, mark, async () => {
    before = await pods.processes('demo')
    await crash()
  })
  expect((await pods.run('demo', `cat ~/${mark}`)).stdout).toBe('started\n')
  expect(before.filter(({ command }) => command.startsWith('tail ')).length).toBeGreaterThanOrEqual(2)
  const left = async () =>
    (await pods.processes('demo')).filter((now) => before.some(({ pid, command }) => pid === now.pid && command === now.command))
  await expect.poll(left, { timeout: 30_000 }).toEqual([])
}

test('the agent killed in the middle and started again: each line once, in order, one process', () =>
  survives('agent-kill', async () => {
    await stack.agent.kill('SIGKILL')
    await stack.startAgent()
  }))

test('exec cut in the middle by the API server going away and coming back: the same', () =>
  survives('apiserver-stop', async () => {
    await stopComponent('apiserver')
    await startComponent('apiserver')
  }))

test('when the agent is gone it leaves no follower and no other process in the pods', async () => {
  await stack.agent.stop()
  for (const pod of [pods.project, ...pods.workers]) {
    await expect.poll(() => pods.processes(pod), { timeout: 30_000 }).toEqual([])
  }
  await stack.startAgent()
  await stack.connected()
})

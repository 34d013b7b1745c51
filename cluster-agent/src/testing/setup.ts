// A bundle for tests of the whole agent: a fake control plane, real local pods in a directory of their own, the real agent in this process.

import { mkdir, mkdtemp, readFile, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import type { Assignment } from '@rdev/shared/domain/attempt'
import { newId } from '@rdev/shared/domain/ids'
import { createDummyAgent } from '../agents/dummy.ts'
import type { AgentProgram } from '../compose.ts'
import { compose } from '../compose.ts'
import type { Config, LocalPodConfig } from '../config.ts'
import type { FakeTask } from './fake-control-plane.ts'
import { clusterKey, FakeControlPlane } from './fake-control-plane.ts'

export interface Bundle {
  readonly plane: FakeControlPlane
  readonly directory: string
  readonly logged: { level: string; phrase: string; fields: Readonly<Record<string, unknown>> | undefined }[]
  /** The environment of the agent when it runs as a program of its own. */
  readonly env: Readonly<Record<string, string>>
  startAgent(more?: Partial<Config>): AgentProgram
  shell(command: string, more?: Partial<Assignment>): FakeTask
  task(more: Partial<Assignment>): FakeTask
  ended(task: FakeTask): Promise<void>
}

export function assignment(more: Partial<Assignment> = {}): Omit<Assignment, 'token'> {
  return {
    task_id: newId('task', Date.now(), crypto.getRandomValues(new Uint8Array(10))),
    attempt: 1,
    project_id: 'demo',
    pod: 'demo',
    pod_uid: null,
    kind: 'shell',
    provider: null,
    prompt: null,
    command: null,
    model: null,
    allowed_tools: null,
    permission_mode: null,
    working_dir: null,
    workspace: null,
    env: {},
    timeout_s: 60,
    idle_timeout_s: null,
    deltas: false,
    fail_on_denied: false,
    session_id: null,
    provider_session_id: null,
    ...more,
  }
}

export async function setup(): Promise<Bundle & { teardown(): Promise<void> }> {
  const directory = await mkdtemp(`${tmpdir()}/rdev-agent-`)
  await mkdir(`${directory}/demo/workspace/sub`, { recursive: true })
  await mkdir(`${directory}/worker`)
  const plane = await FakeControlPlane.start()
  const pod = (name: string, role: 'project' | 'worker'): LocalPodConfig => ({
    name,
    role,
    project_id: role === 'project' ? name : null,
    slots: 4,
    directory: `${directory}/${name}`,
    env: {},
    allow_bypass_permissions: false,
    providers: [],
  })
  const pods = [pod('demo', 'project'), pod('worker', 'worker')]
  const config: Config = {
    url: plane.url,
    clusterId: 'test',
    clusterKey,
    pods: { host: 'local', list: pods, path: process.env.PATH ?? '' },
    orphanTtlS: 1800,
    stopAttemptsOnExit: true,
    logLevel: 'info',
  }
  const logged: Bundle['logged'] = []
  const agents: AgentProgram[] = []
  const task = (more: Partial<Assignment>) => plane.assign(assignment(more))
  return {
    plane,
    directory,
    logged,
    env: {
      PATH: process.env.PATH ?? '',
      RDEV_URL: plane.url,
      RDEV_CLUSTER_ID: 'test',
      RDEV_CLUSTER_KEY: clusterKey,
      RDEV_POD_HOST: 'local',
      RDEV_LOCAL_PODS: JSON.stringify(pods),
    },
    startAgent: (more = {}) => {
      const agent = compose(
        { ...config, ...more },
        {
          log: (level, phrase, fields) => void logged.push({ level, phrase, fields }),
          agents: () => [createDummyAgent()],
        },
      )
      agents.push(agent)
      agent.start()
      return agent
    },
    task,
    shell: (command, more = {}) => task({ command, ...more }),
    ended: (task) => plane.until(() => task.finished && task.outcome !== undefined),
    teardown: async () => {
      await Promise.all(agents.map((agent) => agent.stop()))
      await plane.close()
      await rm(directory, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 })
    },
  }
}

export const output = (task: FakeTask, stream = 'stdout'): string =>
  task.events
    .filter((event) => event.type === 'output' && event.data.stream === stream)
    .map((event) => String(event.data.text))
    .join('')

export const numbered = (count: number): string => Array.from({ length: count }, (_, i) => `line ${i + 1}\n`).join('')

/** The processes of this computer that have the attempt's tag. */
export async function processesOf(task: FakeTask): Promise<number[]> {
  const tag = `RDEV_ATTEMPT=${task.assignment.task_id}.${task.assignment.attempt}`
  const found: number[] = []
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue
    const environment = await readFile(`/proc/${name}/environ`, 'latin1').catch(() => '')
    if (environment.split('\0').includes(tag)) found.push(Number(name))
  }
  return found
}

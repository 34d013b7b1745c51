// The requests of clients in one history: tasks of all kinds over some minutes, cancels, and readers that are cut and connect again.

import type { AskedTask, RetryClass } from '@rdev/shared/domain/task'
import { encodePlans, type ProcessPlan } from './plan.ts'
import type { Random } from './random.ts'

export interface PlannedTask {
  readonly atMs: number
  readonly asked: AskedTask
  /** The index of an earlier task whose session it continues. */
  readonly continues: number | null
  readonly cancelAfterMs: number | null
  readonly readers: number
}

export interface PlannedPod {
  readonly name: string
  readonly role: 'project' | 'worker'
  readonly project_id: string | null
  readonly slots: number
}

export interface Workload {
  readonly pods: readonly PlannedPod[]
  readonly limits: ReadonlyMap<string, { readonly max_running: number; readonly weight: number }>
  readonly tasks: readonly PlannedTask[]
}

export function drawWorkload(random: Random, lengthMs: number, restless: boolean): Workload {
  const projects = ['apple', 'birch', 'cedar'].slice(0, random.int(1, 3))
  const pods: PlannedPod[] = projects.map((id) => ({ name: `home-${id}`, role: 'project', project_id: id, slots: random.int(1, 4) }))
  for (let i = random.int(0, 2); i > 0; i--) pods.push({ name: `worker-${i}`, role: 'worker', project_id: null, slots: random.int(1, 3) })
  const limits = new Map(projects.map((id) => [id, { max_running: random.int(1, 4), weight: random.int(1, 3) * 100 }]))
  const count = random.maybe(0.2) ? random.int(12, 30) : random.int(1, 10)
  const tasks: PlannedTask[] = []
  const pool = pods.some(({ role }) => role === 'worker')
  for (let i = 0; i < count; i++) tasks.push(drawTask(random, projects, pool, tasks, lengthMs, restless))
  tasks.sort((a, b) => a.atMs - b.atMs)
  return { pods, limits, tasks }
}

/** The same requests, but most processes run and write for minutes: for faults that show only in what goes on for long. */
export function withLongTasks(random: Random, workload: Workload): Workload {
  const longer = (text: string): string => {
    const plans = (JSON.parse(text) as readonly ProcessPlan[]).map((plan) => ({
      ...plan,
      endsAfterMs: random.int(150_000, 500_000),
      writes: Array.from({ length: 8 }, (_, i) => ({
        afterMs: random.int(10_000, 50_000),
        stream: 'stdout' as const,
        text: `late ${i}\n`,
      })),
    }))
    return encodePlans(plans)
  }
  const tasks = workload.tasks.map((task) => {
    const { prompt, command } = task.asked
    if (random.maybe(0.3)) return task
    const text = { prompt: prompt && longer(prompt), command: typeof command === 'string' ? longer(command) : command }
    return { ...task, asked: { ...task.asked, ...text, timeout_s: 900 } }
  })
  return { ...workload, tasks }
}

function drawTask(
  random: Random,
  projects: readonly string[],
  pool: boolean,
  earlier: readonly PlannedTask[],
  lengthMs: number,
  restless: boolean,
): PlannedTask {
  const agent = random.maybe(restless ? 0.8 : 0.4)
  const continued = agent && earlier.length > 0 && random.maybe(0.4) ? random.int(0, earlier.length - 1) : null
  const session = continued !== null && earlier[continued]!.asked.kind === 'agent' ? continued : null
  const before = session === null ? undefined : earlier[session]
  const plans = Array.from({ length: random.int(1, 2) }, () => drawPlan(random, agent, restless))
  const classes: readonly RetryClass[] = ['infra', 'lost', 'rate_limited', 'agent_error', 'never_started']
  const text = encodePlans(plans)
  return {
    atMs: Math.min(lengthMs, random.int(0, lengthMs) + (before?.atMs ?? 0)),
    continues: session,
    cancelAfterMs: random.maybe(restless ? 0.5 : 0.25) ? random.skewed(0, 90_000) : null,
    readers: random.maybe(0.5) ? random.int(1, 2) : 0,
    asked: {
      kind: agent ? 'agent' : 'shell',
      project_id: before?.asked.project_id ?? random.pick(projects),
      // Some tasks leave the provider to the agent.
      provider: agent && !random.maybe(0.1) ? 'claude-code' : null,
      prompt: agent ? text : null,
      command: agent ? null : text,
      session_id: null,
      model: null,
      allowed_tools: null,
      permission_mode: null,
      working_dir: null,
      workspace: random.pick([null, undefined, 'side']),
      env: {},
      timeout_s: random.maybe(0.1) ? random.int(1, 20) : random.int(60, 600),
      queue_ttl_s: random.maybe(0.15) ? random.int(1, 120) : null,
      run_after: null,
      idle_timeout_s: random.maybe(0.1) ? random.int(20, 60) : null,
      priority: random.int(0, 2),
      retry: random.maybe(restless ? 0 : 0.5)
        ? { max_attempts: 1, on: [] }
        : { max_attempts: random.int(2, 4), on: classes.filter(() => restless || random.maybe(0.6)) },
      target: pool && random.maybe(0.4) ? 'pool' : 'project',
      deltas: false,
      fail_on_denied: false,
      labels: {},
      metadata: {},
    },
  }
}

function drawPlan(random: Random, agent: boolean, restless: boolean): ProcessPlan {
  const long = random.maybe(restless ? 0.15 : 0.3)
  const writes = Array.from({ length: random.maybe(0.1) ? 40 : random.int(0, 6) }, (_, i) => {
    const whole = random.maybe(0.8)
    return {
      afterMs: random.skewed(0, long ? 40_000 : 2_000),
      stream: random.maybe(0.8) ? ('stdout' as const) : ('stderr' as const),
      text: `piece ${i} ${'x'.repeat(random.skewed(0, 60))}${whole ? '\n' : ''}`,
    }
  })
  return {
    writes,
    endsAfterMs: random.skewed(1, long ? 300_000 : 3_000),
    exitCode: random.maybe(restless ? 0.7 : 0.25) ? random.int(1, 3) : 0,
    childMs: random.maybe(0.1) ? random.skewed(100, 30_000) : 0,
    ignores: random.pick(['nothing', 'nothing', 'int', 'int and term']),
    fails: agent ? random.pick([undefined, 'RATE_LIMITED', 'AGENT_ERROR']) : undefined,
  }
}

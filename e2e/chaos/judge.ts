// The independent judge: compares what the system says with what the processes wrote into the ledger. It answers all violations, so that one
// failing run shows all of them.
import { readFile, readdir } from 'node:fs/promises'
import type { TaskEvent } from '@rdev/shared/domain/event'
import type { TaskView } from '@rdev/shared/api/tasks'
import type { Client } from '../../dev/client.ts'
import { outputOf } from '../setup.ts'
import type { Ledger, Mark } from './ledger.ts'

export interface Verdict {
  readonly tasks: readonly TaskView[]
  /** Each task's events as read by JSON pages. */
  readonly logs: ReadonlyMap<string, readonly TaskEvent[]>
  readonly violations: readonly string[]
}

export interface JudgeOptions {
  readonly client: Client
  readonly ledger: Ledger
  /** Every task that was answered 202. */
  readonly accepted: readonly string[]
  /** What readers collected during the run. */
  readonly read?: ReadonlyMap<string, readonly (readonly TaskEvent[])[]>
  /** Tasks whose process does not sign the ledger (providers' programs). */
  readonly unsigned?: ReadonlySet<string>
  /** How many attempts a task may have, if its retry policy limits them. Default: any number, each started once. */
  readonly maxStarts?: number
  /** How long to wait for the end of a task and of its processes. */
  readonly waitMs?: number
}

export async function judge(options: JudgeOptions): Promise<Verdict> {
  const { client, ledger, accepted } = options
  const violations: string[] = []
  const tasks: TaskView[] = []
  const logs = new Map<string, readonly TaskEvent[]>()
  const judgeOne = async (id: string, index: number) => {
    const task = await ended(client, id, options.waitMs ?? 60_000)
    tasks[index] = task
    const wrong = (what: string) => void violations.push(`${id} (${task.status}): ${what}`)
    if (task.finished_at === null) {
      return wrong('was accepted and has no end')
    }
    const events = await pages(client, id)
    logs.set(id, events)
    for (const what of wrongInLog(events, task)) wrong(what)
    for (const [index, sequence] of (options.read?.get(id) ?? []).entries()) {
      const difference = firstDifference(sequence, events)
      if (difference !== undefined)
        wrong(`reader ${index} and the pages differ at ${difference} (${sequence.length} and ${events.length} events)`)
    }
  }
  const ids = [...new Set(accepted)].entries()
  await Promise.all(
    Array.from({ length: 8 }, async () => {
      for (const [index, id] of ids) await judgeOne(id, index)
    }),
  )
  const marks = await ledger.marks()
  for (const task of tasks) {
    if (options.unsigned?.has(task.id)) continue
    const log = logs.get(task.id)
    if (log)
      for (const what of await wrongInLedger(ledger, marks, task, log, options)) violations.push(`${task.id} (${task.status}): ${what}`)
  }
  const over = tasks.filter(({ finished_at }) => finished_at !== null)
  violations.push(...(await processesLeft(over, marks)))
  return { tasks, logs, violations }
}

/** Waits for the end of the task. */
async function ended(client: Client, id: string, waitMs: number): Promise<TaskView> {
  for (const deadline = Date.now() + waitMs; ;) {
    const task = await client.json<TaskView>('GET', `/v1/tasks/${id}?wait_s=${waitMs > 0 ? 10 : 0}`)
    if (task.finished_at !== null || Date.now() > deadline) return task
  }
}

/** The whole log by JSON pages, with which every other way to read is compared. */
export async function pages(client: Client, id: string): Promise<TaskEvent[]> {
  const all: TaskEvent[] = []
  for (;;) {
    const after = all.at(-1)?.seq ?? 0
    const page = await client.json<{ data: TaskEvent[]; finished: boolean }>('GET', `/v1/tasks/${id}/events?after=${after}&limit=500`)
    all.push(...page.data)
    if (page.finished || page.data.length === 0) return all
  }
}

function wrongInLog(events: readonly TaskEvent[], task: TaskView): string[] {
  const wrong: string[] = []
  const hole = events.findIndex((event, index) => event.seq !== index + 1)
  if (hole >= 0) wrong.push(`event ${hole + 1} of the log has seq ${events[hole]?.seq}`)
  const ends = events.filter(({ type }) => type === 'task.finished')
  if (ends.length !== 1 || events.at(-1) !== ends[0]) wrong.push(`${ends.length} task.finished, the last event is ${events.at(-1)?.type}`)
  if (ends[0] && ends[0].data.status !== task.status) wrong.push(`its log ends ${String(ends[0].data.status)}`)
  for (let attempt = 1; attempt <= task.attempt; attempt++) {
    const count = (type: string) => events.filter((event) => event.type === type && event.attempt === attempt).length
    if (count('task.leased') !== 1) wrong.push(`${count('task.leased')} task.leased of attempt ${attempt}`)
    if (count('task.started') > 1) wrong.push(`${count('task.started')} task.started of attempt ${attempt}`)
  }
  return wrong
}

async function wrongInLedger(
  ledger: Ledger,
  marks: readonly Mark[],
  task: TaskView,
  log: readonly TaskEvent[],
  options: JudgeOptions,
): Promise<string[]> {
  const wrong: string[] = []
  const mine = marks.filter(({ attempt }) => attempt.startsWith(`${task.id}.`))
  const starts = mine.filter(({ what }) => what === 'start')
  const names = [...new Set(starts.map(({ attempt }) => attempt))]
  for (const name of names) {
    const times = starts.filter(({ attempt }) => attempt === name).length
    if (times !== 1) wrong.push(`attempt ${name} was started ${times} times`)
  }
  if (names.length > (options.maxStarts ?? Infinity)) wrong.push(`${names.length} attempts were started`)
  const last = `${task.id}.${task.attempt}`
  const end = mine.find(({ what, attempt }) => what === 'end' && attempt === last)
  if (task.status === 'succeeded' && end?.value !== 0) wrong.push(`its process did not come to its end with 0`)
  if (task.status === 'failed' && task.exit_code !== null && task.exit_code > 0 && end && end.value !== task.exit_code) {
    wrong.push(`exit code ${task.exit_code}, and its process left with ${end.value}`)
  }
  for (const [index, name] of names.entries()) {
    const next = starts.find(({ attempt }) => attempt === names[index + 1])
    const over = mine.find(({ what, attempt }) => what === 'end' && attempt === name)
    // Both clocks have a resolution of a hundredth of a second.
    const lastSign = Math.max(over?.uptime ?? 0, (await ledger.lastPrinted(name)) ?? 0)
    if (next && lastSign > next.uptime + 2) wrong.push(`${next.attempt} was started before ${name} had ended`)
    const printed = (await ledger.printed(name)) ?? ''
    const attempt = Number(name.slice(name.lastIndexOf('.') + 1))
    const output = outputOf(log.filter((event) => event.attempt === attempt))
    // A process that was killed may have noted a line and not printed it, so a log that ends early is not wrong.
    const whole = over !== undefined && (task.attempt !== attempt || task.status === 'succeeded' || task.status === 'failed')
    if (whole ? output !== printed : !printed.startsWith(output)) {
      wrong.push(
        `the output of ${name} differs from what it printed at character ${differsAt(output, printed)} (${output.length} and ${printed.length})`,
      )
    }
  }
  return wrong
}

/** Checks that no process of an ended task is left: not the one that signed the ledger, and none with the tag of an attempt. */
async function processesLeft(tasks: readonly TaskView[], marks: readonly Mark[]): Promise<string[]> {
  const status = new Map(tasks.map((task) => [task.id, task.status]))
  const look = async () => {
    const left: string[] = []
    for (const { pid, attempt } of await processesOf(marks)) {
      const ended = status.get(attempt.slice(0, attempt.lastIndexOf('.')))
      if (ended !== undefined) left.push(`${attempt} (${ended}): process ${pid} is left`)
    }
    return left
  }
  const left = await look()
  // A process that is just ending is no violation. Only `cancelled` promises that none is left when the event comes.
  if (left.length === 0 || left.some((one) => one.includes('(cancelled)'))) return left
  await new Promise((resolve) => setTimeout(resolve, 1_000))
  return look()
}

/**
 * The processes of attempts on this computer. The main process was started before it had its attempt, so its environment does not name it. The
 * ledger does, and the start time tells it from a later process with the same id.
 */
export async function processesOf(marks: readonly Mark[]): Promise<{ pid: number; attempt: string }[]> {
  const found: { pid: number; attempt: string }[] = []
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const environment = await readFile(`/proc/${pid}/environ`, 'latin1').catch(() => '')
    const attempt = /(?:^|\0)RDEV_ATTEMPT=([^\0]+)/.exec(environment)?.[1]
    if (attempt) found.push({ pid: Number(pid), attempt })
  }
  for (const { what, attempt, value, uptime } of marks) {
    if (what !== 'start' || value === 0 || found.some(({ pid }) => pid === value)) continue
    const stat = (await readFile(`/proc/${value}/stat`, 'latin1').catch(() => '')).replace(/^.*\) /s, '').split(' ')
    if (stat.length > 19 && stat[0] !== 'Z' && Number(stat[19]) <= uptime) found.push({ pid: value, attempt })
  }
  return found
}

function firstDifference(one: readonly TaskEvent[], other: readonly TaskEvent[]): number | undefined {
  for (let i = 0; i < Math.max(one.length, other.length); i++) {
    if (JSON.stringify(one[i]) !== JSON.stringify(other[i])) return i + 1
  }
  return undefined
}

function differsAt(one: string, other: string): number {
  let at = 0
  while (at < one.length && one[at] === other[at]) at++
  return at
}

// The judge. It knows the rows, the logs, what readers saw and the ledger of the processes, and nothing of how the system works. Its numbers are
// those of the rules in README.md.

import type { TaskErrorCode } from '@rdev/shared/domain/errors'
import type { TaskEvent } from '@rdev/shared/domain/event'
import { isLive, isTerminal, retryClassOf, type Task } from '@rdev/shared/domain/task'
import type { Claim } from '../../control-plane/src/ports/dispatch-store.ts'
import type { History } from '../history.ts'
import type { Life } from '../world/kernel.ts'
import type { ProcessFacts } from '../world/ledger.ts'
import { judgeLog, shortName } from './judge-log.ts'
import { judgeResources } from './judge-resources.ts'

interface Ended {
  readonly row: string
  readonly at: number
}

export class Judge {
  readonly violations: string[] = []
  readonly #history: History
  readonly #accepted = new Set<string>()
  readonly #ended = new Map<string, Ended>()
  /** Attempts whose row was running once: their start was confirmed. */
  readonly #confirmed = new Set<string>()
  /** The attempt that a task was in when its cancel request was recorded. */
  readonly #cancelRequested = new Map<string, number>()
  /** Agents that told the hub that they drain. */
  readonly #leaving = new Set<Life>()
  /** The highest attempt of each task. */
  readonly #attempts = new Map<string, number>()

  constructor(history: History) {
    this.#history = history
    history.plane.onStale = (...what) => this.stale(...what)
    history.network.observer = {
      sentUp: ({ client }, type) => {
        if (type === 'drain') this.#leaving.add(client.life)
      },
      dialled: ({ client, target }) => {
        if (!target.startsWith('hub ') || !this.#leaving.has(client.life)) return
        this.violated(9, `${client.life.name} told the hub that it drains, and connected again: it supersedes the agent that took over`)
      },
    }
    history.plane.onComplaint = (name, what) => this.violated(3, `${shortName(name)} logs: ${what}`)
    history.plane.onRevoked = (name, what) => this.violated(10, `${shortName(name)} ${what}, which was revoked more than 60 s before`)
    history.database.onStatement = (method, args, result) => {
      if (method === 'claim') this.#claimed(args[0] as Claim, rowsIn(result))
      for (const task of rowsIn(result)) this.#row(task)
      if (method === 'claim' || method === 'markStarted') void this.#live()
    }
  }

  /** No statement leases a task for a key that is revoked by then. */
  #claimed({ keyId }: Claim, rows: readonly Task[]): void {
    const { plane } = this.#history
    if (keyId === null || plane.keys.isValid(keyId)) return
    for (const task of rows) {
      if (task.attempt > (this.#attempts.get(task.id) ?? 0))
        this.violated(10, `${shortName(`${task.id}.${task.attempt}`)} was leased for ${keyId}, which was revoked`)
    }
  }

  /** A log took an event from a line of an agent after a later agent had opened one. */
  stale(taskId: string, attempt: number, what: string): void {
    this.violated(7, `${shortName(`${taskId}.${attempt}`)}: its log took events on a line of that attempt ${what}`)
  }

  accepted(task: Task): void {
    this.#accepted.add(task.id)
  }

  /** Whether the pod was gone when the log took this event. */
  goneBy(process: ProcessFacts, event: TaskEvent): boolean {
    const goneAt = this.#history.ledger.gone.get(process.uid)
    return goneAt !== undefined && this.#history.plane.wall(goneAt) <= Date.parse(event.time)
  }

  violated(invariant: number, what: string): void {
    if (this.violations.length >= 20) return
    const text = `(${invariant}) ${what}`
    this.#history.kernel.say('JUDGE', () => text)
    this.violations.push(text)
  }

  async rows(): Promise<readonly Task[]> {
    const { data } = await this.#history.database.stores.tasks.list({ projects: null }, { limit: 1_000 })
    return data
  }

  async allEnded(): Promise<boolean> {
    const rows = await this.rows()
    return (
      rows.every((task) => isTerminal(task.status) || this.#unnoticed(task)) &&
      this.#history.ledger.processes.every(({ emptyAt }) => emptyAt !== null)
    )
  }

  /** Whether only the database knows the task: the answer of its insert was lost, so no hub was poked, and it waits for the next claim. */
  #unnoticed(task: Task): boolean {
    return task.status === 'queued' && task.attempt === 0 && !this.#accepted.has(task.id)
  }

  /** Checks a row after a statement. */
  #row(task: Task): void {
    const { kernel, ledger } = this.#history
    if (task.status === 'running') this.#confirmed.add(`${task.id}.${task.attempt}`)
    const before = this.#attempts.get(task.id) ?? 0
    if (task.attempt > before) {
      this.#attempts.set(task.id, task.attempt)
      kernel.count('leased')
      if (task.attempt > 1) kernel.count('leased again')
    }
    const requested = this.#cancelRequested.get(task.id)
    // An attempt that never started may be requeued and leased once more before the cancel request is in the row: the next line gets the request.
    if (requested !== undefined && task.attempt > requested && this.#confirmed.has(`${task.id}.${task.attempt - 1}`)) {
      this.violated(4, `${shortName(task.id)} was to be cancelled in attempt ${requested}, and was given attempt ${task.attempt}`)
      this.#cancelRequested.delete(task.id)
    } else if (task.cancel_requested_at !== null && requested === undefined) this.#cancelRequested.set(task.id, task.attempt)
    const over = task.status === 'queued' || isTerminal(task.status)
    if (over && task.attempt > 0) {
      for (const process of ledger.alive(task.id)) {
        if (process.impostor) continue
        this.violated(
          task.status === 'cancelled' ? 4 : 2,
          `${name(process)} still runs in ${process.pod}/${process.uid} when its row becomes ${task.status} (${task.error ?? ''})`,
        )
      }
    }
    if (!isTerminal(task.status)) return
    const row = JSON.stringify(task)
    const ended = this.#ended.get(task.id)
    if (ended === undefined) {
      this.#ended.set(task.id, { row, at: kernel.now })
      kernel.count(`ended: ${task.status}${task.error_code === null ? '' : ` ${task.error_code}`}`)
      kernel.say('database', () => `${task.id} has ended: ${task.status} ${task.error_code ?? ''} ${task.error ?? ''}`)
    } else if (ended.row !== row) this.violated(1, `${shortName(task.id)} was terminal and changed: ${difference(ended.row, row)}`)
  }

  /** Checks what must be true at every instant: limits of projects, workspaces and sessions. */
  async #live(): Promise<void> {
    const live = (await this.rows()).filter(({ status }) => isLive(status))
    const projects = new Map<string, number>()
    const held = new Set<string>()
    for (const task of live) {
      if (task.status === 'running') this.#confirmed.add(`${task.id}.${task.attempt}`)
      const { project_id, workspace, session_id } = task.spec
      projects.set(project_id, (projects.get(project_id) ?? 0) + 1)
      for (const key of [
        workspace === null ? null : `workspace ${project_id}/${workspace}`,
        session_id === null ? null : `session ${session_id}`,
      ]) {
        if (key === null) continue
        if (held.has(key)) this.violated(2, `two live tasks hold ${key}`)
        held.add(key)
      }
    }
    for (const [id, count] of projects) {
      const limit = this.#history.workload.limits.get(id)?.max_running ?? Infinity
      if (count > limit) this.violated(2, `project ${id} has ${count} live tasks, ${limit} are allowed`)
    }
  }

  async verdict(statements: number, entries: number): Promise<void> {
    const { ledger, database } = this.#history
    for (const id of this.#accepted) {
      const task = await database.stores.tasks.get(id, null)
      if (task === undefined) this.violated(1, `${shortName(id)} was accepted and is gone`)
    }
    for (const task of await this.rows()) this.#task(task)
    for (const process of ledger.processes) {
      if (process.emptyAt === null) this.violated(2, `${name(process)} runs for ever in ${process.pod}/${process.uid}`)
    }
    // Directories are cleared at the next hello, whenever it comes.
    for (const pod of this.#history.cluster.pods.values())
      for (const _ of pod.disk.directories) this.#history.kernel.count('directory left behind')
    for (const problem of judgeResources(this.#history)) this.violated(1, problem)
    this.#locks(ledger.processes)
    this.#idle(statements, entries)
  }

  /** A working copy has one process tree at a time. */
  #locks(processes: readonly ProcessFacts[]): void {
    const last = new Map<string, ProcessFacts>()
    for (const process of processes) {
      if (process.lock === null) continue
      const key = `${process.pod}/${process.uid} ${process.lock}`
      const before = last.get(key)
      if (before !== undefined && !before.impostor && (before.emptyAt ?? Infinity) > process.startedAt) {
        this.violated(2, `${name(process)} and ${name(before)} ran in one working copy: ${key}`)
      }
      last.set(key, process)
    }
  }

  #task(task: Task): void {
    const { ledger, plane } = this.#history
    const short = shortName(task.id)
    if (this.#unnoticed(task)) return this.#history.kernel.count('unnoticed insert')
    if (!isTerminal(task.status)) return this.violated(1, `${short} never ended: it is ${task.status}, attempt ${task.attempt}`)
    const log = plane.eventsOf(task.id)
    const processes = ledger.of(task.id)
    this.#starts(task, processes)
    judgeLog(this, task, log, processes)
    for (const reader of this.#history.readers) {
      if (reader.taskId !== task.id) continue
      for (const problem of reader.problems) this.violated(3, `${short}: ${problem}`)
      if (!reader.finished) this.violated(3, `${short}: a reader never saw its end; it has ${reader.seen.length} of ${log.length} events`)
      const differs = reader.seen.findIndex((event, index) => JSON.stringify(event) !== JSON.stringify(log[index]))
      if (differs >= 0) this.violated(3, `${short}: a reader saw another event ${differs + 1} than the log has`)
    }
    this.#result(task, processes)
    const endedAt = this.#ended.get(task.id)?.at ?? 0
    for (const process of processes) {
      if (process.startedAt > endedAt) this.violated(2, `${name(process)} started after its task had ended`)
    }
  }

  #starts(task: Task, processes: readonly ProcessFacts[]): void {
    const seen = new Map<number, ProcessFacts>()
    const inOrder = [...processes].sort((a, b) => a.startedAt - b.startedAt)
    inOrder.forEach((process, index) => {
      const same = seen.get(process.attempt)
      if (same !== undefined)
        this.violated(2, `${name(process)} was started twice: in ${same.pod}/${same.uid} and ${process.pod}/${process.uid}`)
      seen.set(process.attempt, process)
      const before = inOrder[index - 1]
      if (before === undefined) return
      if (before.attempt > process.attempt) this.violated(2, `${name(process)} started after attempt ${before.attempt}`)
      if (!before.impostor && (before.emptyAt === null || before.emptyAt > process.startedAt))
        this.violated(2, `${name(process)} started while attempt ${before.attempt} ran`)
    })
    // After a confirmed start only the policy gives another attempt.
    const log = this.#history.plane.eventsOf(task.id)
    for (let attempt = 1; attempt < task.attempt; attempt++) {
      const logged = seen.has(attempt) && log.some((event) => event.type === 'task.started' && event.attempt === attempt)
      if (!logged && !this.#confirmed.has(`${task.id}.${attempt}`)) continue
      const requeued = log.find((event) => event.type === 'task.requeued' && event.attempt === attempt)
      const reason = String(requeued?.data['reason'])
      const kind = retryClassOf({ status: reason === 'LOST' ? 'lost' : 'failed', error_code: reason as TaskErrorCode })
      const { max_attempts, on } = task.spec.retry
      if (kind === null || !on.includes(kind) || attempt >= max_attempts) {
        this.violated(
          2,
          `${shortName(task.id)}.${attempt} was confirmed as started and followed by another, for ${reason}, which its policy does not ask for`,
        )
      }
    }
  }

  /** The row must agree with the exit record of its last attempt, or the pod of that attempt must be gone. */
  #result(task: Task, processes: readonly ProcessFacts[]): void {
    // The task ended in the queue, after an earlier attempt.
    if (task.error === 'cancelled while queued') return
    const process = processes.findLast((each) => each.attempt === task.attempt)
    const short = shortName(`${task.id}.${task.attempt}`)
    if (process === undefined) {
      if (task.status === 'succeeded') this.violated(5, `${short} succeeded without a process`)
      return
    }
    const { record } = process
    const is = `${task.status} ${task.error_code ?? ''} (${task.error ?? ''})`
    // The rule for a cluster that was away for longer than the orphan TTL: by then no process runs, which is checked above.
    if (task.status === 'lost' && task.error === 'its cluster did not come back') return
    if (task.status === 'lost' && record?.reason !== 'container_gone') {
      if (!this.#history.ledger.gone.has(process.uid))
        this.violated(5, `${short} is lost, and its pod ${process.pod}/${process.uid} was never gone: ${task.error}`)
      return
    }
    if (record === undefined) return this.violated(5, `${short} is ${is}, and has no exit record`)
    if (process.endedByItself && !['exited', 'supervisor_died', 'container_gone'].includes(record.reason)) {
      this.violated(5, `${short} ended by itself before it was stopped, and its record says ${record.reason}`)
    }
    const allowed = {
      exited: record.exit_code === 0 ? ['succeeded'] : ['failed'],
      cancelled: ['cancelled'],
      timeout: ['timed_out'],
      orphaned: ['failed'],
      stopped: ['failed', 'succeeded'],
      supervisor_died: ['failed'],
      container_gone: ['lost'],
    }[record.reason]
    // The exit record was read, and then the pod was gone with the output.
    if (task.error_code === 'INTERNAL' && this.#history.ledger.gone.has(process.uid)) return
    if (!allowed.includes(task.status))
      this.violated(5, `${short} is ${is}, and its exit record says ${record.reason}, ${record.exit_code}`)
    if (record.reason === 'exited' && task.exit_code !== record.exit_code) {
      this.violated(5, `${short} says exit code ${task.exit_code}, its record ${record.exit_code}`)
    }
  }

  #idle(statements: number, entries: number): void {
    const { platform } = this.#history
    if (statements > 0) this.violated(8, `${statements} statements in an idle stretch`)
    if (entries > 0) this.violated(8, `${entries} entries of objects in an idle stretch`)
    for (const cell of platform.cells.values()) {
      if (cell.alarmAt !== null) this.violated(8, `${cell.name} has an alarm although nothing is left to do`)
    }
  }
}

const name = ({ task_id, attempt }: { readonly task_id: string; readonly attempt: number }): string => shortName(`${task_id}.${attempt}`)

/** The rows in the answer of a statement. */
function rowsIn(result: unknown): readonly Task[] {
  if (Array.isArray(result)) return result.flatMap(rowsIn)
  if (typeof result !== 'object' || result === null) return []
  if ('spec' in result && 'status' in result) return [result as Task]
  return ['task', 'after', 'data'].flatMap((key) => (key in result ? rowsIn((result as Record<string, unknown>)[key]) : []))
}

function difference(before: string, after: string): string {
  const [a, b] = [before, after].map((text) => JSON.parse(text) as Record<string, unknown>)
  const keys = Object.keys(b!).filter((key) => JSON.stringify(a![key]) !== JSON.stringify(b![key]))
  return keys.map((key) => `${key} ${JSON.stringify(a![key])} → ${JSON.stringify(b![key])}`).join(', ')
}

// Inserts that are asked for at the same moment go to the store as one. A statement over HTTP costs the Worker, the database's HTTP end and the
// database more than the rows in it do, and a commit waits for a disk: many requests that insert one task each spend most of their time there.
//
// It promises: each caller is answered for its own tasks, after the commit that holds them; who is alone waits for nobody; what one asks for
// fails nobody else's. It refuses to gather more than a statement takes well, or to wait longer than a statement may.

import { DomainError } from '@rdev/shared/domain/errors'
import type { Inserted, NewTask, TaskStore } from '../ports/task-store.ts'

type Insert = TaskStore['insert']

/** Statements under way at once; what comes while they are waits for the first of them to end, and then goes together. */
const maxStatements = 2
const maxTasks = 500
/** Of spec text: a prompt may have a megabyte, and Neon takes 64. */
const maxChars = 4 * 1024 * 1024
/** Whoever runs the statement for others may be gone: its own limit is 8 s, and it may have waited as long for its turn. */
const maxWaitMs = 20_000

interface Member {
  readonly tasks: readonly NewTask[]
  readonly resolve: (inserted: readonly Inserted[]) => void
  readonly reject: (cause: unknown) => void
}

interface Group {
  readonly members: Member[]
  tasks: number
  chars: number
}

/**
 * The statement of a group runs in the request that began it: on Workers a request's outgoing calls end with it, so each caller keeps its
 * request alive until it is answered (`later`), as those who read its answer must.
 */
export function insertTogether(insert: Insert): Insert {
  let running = 0
  let open: Group | undefined
  /** Of leaders that wait until a statement may run, in order. */
  const waiting: (() => void)[] = []

  const mayRun = async (): Promise<void> => {
    if (running < maxStatements) running++
    else await new Promise<void>((resolve) => waiting.push(resolve))
  }
  const done = (): void => {
    const next = waiting.shift()
    if (next) next()
    else running--
  }

  const lead = async (group: Group): Promise<void> => {
    await mayRun()
    if (open === group) open = undefined
    try {
      await insertAll(insert, group.members)
    } finally {
      done()
    }
  }

  return (tasks) => {
    const { promise, resolve, reject } = Promise.withResolvers<readonly Inserted[]>()
    const member: Member = { tasks, resolve, reject }
    const chars = tasks.reduce((sum, { spec }) => sum + (spec.prompt?.length ?? 0) + (spec.command?.length ?? 0), 0)
    if (open && open.tasks + tasks.length <= maxTasks && open.chars + chars <= maxChars) {
      open.members.push(member)
      open.tasks += tasks.length
      open.chars += chars
      return bounded(promise)
    }
    open = { members: [member], tasks: tasks.length, chars }
    void lead(open)
    // It may wait for other requests' statements: a request that waits for nothing of its own is taken for hung, and ended.
    return bounded(promise)
  }
}

/** One statement; if the store refuses it, one for each, so that only who is to blame fails. A store that cannot be asked fails all. */
async function insertAll(insert: Insert, members: readonly Member[]): Promise<void> {
  try {
    const inserted = await insert(members.flatMap(({ tasks }) => tasks))
    let next = 0
    for (const { tasks, resolve } of members) resolve(inserted.slice(next, (next += tasks.length)))
  } catch (cause) {
    const away = cause instanceof DomainError && cause.code === 'SERVICE_UNAVAILABLE'
    if (away || members.length === 1) for (const { reject } of members) reject(cause)
    else for (const { tasks, resolve, reject } of members) await insert(tasks).then(resolve, reject)
  }
}

/** The timer is more than a limit: a request of a Worker that waits for another's doing, with nothing of its own under way, is taken for hung. */
async function bounded<Result>(promise: Promise<Result>): Promise<Result> {
  const late = Promise.withResolvers<never>()
  const timer = setTimeout(() => late.reject(new DomainError('SERVICE_UNAVAILABLE', 'The database did not answer in time')), maxWaitMs)
  try {
    return await Promise.race([promise, late.promise])
  } finally {
    clearTimeout(timer)
  }
}

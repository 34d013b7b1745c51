// Inserts that come at the same time go to the store in one statement. A statement over HTTP costs more than the rows in it, and a commit
// waits for a disk, so many requests that insert one task each would spend most of their time there.
//
// It promises: each caller gets the answer for its own tasks, after the commit that holds them; a single caller waits for no other; tasks that
// the store cannot take fail only their own caller. It bounds the size of a statement and the time that a caller waits.

import { DomainError } from '@rdev/shared/domain/errors'
import type { Inserted, NewTask, TaskStore } from '../ports/task-store.ts'

type Insert = TaskStore['insert']

/** Statements that run at once. Inserts that come meanwhile wait until one of them ends, and then go together. */
const maxStatements = 2
const maxTasks = 500
/** Characters of spec text in one statement: a prompt may have a megabyte, and Neon takes at most 64 MB. */
const maxChars = 4 * 1024 * 1024
/** How long a caller waits: the request that runs the statement may have died. A statement has 8 s, and may have waited 8 s before. */
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
 * Wraps `insert`. The request that began a group runs the group's statement. On Workers a request's outgoing calls end with the request, so
 * each caller must keep its request alive until it is answered (`later`). Throws what `insert` throws, and DomainError SERVICE_UNAVAILABLE
 * after `maxWaitMs`.
 */
export function insertTogether(insert: Insert): Insert {
  let running = 0
  let open: Group | undefined
  /** Groups that wait for a running statement to end, in order. */
  const waiting: (() => void)[] = []

  const mayStart = async (): Promise<void> => {
    if (running < maxStatements) running++
    else await new Promise<void>((resolve) => waiting.push(resolve))
  }
  const done = (): void => {
    const next = waiting.shift()
    if (next) next()
    else running--
  }

  const lead = async (group: Group): Promise<void> => {
    await mayStart()
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
    // Bounded too, because it may wait for other requests' statements: see `bounded`.
    return bounded(promise)
  }
}

/** Runs one statement. If the store refuses it, runs one per member, so that only the faulty one fails. A store that is away fails all. */
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

/** Fails after `maxWaitMs`. The timer is also needed because Workers end a request as hung if it has no pending work of its own. */
async function bounded<Result>(promise: Promise<Result>): Promise<Result> {
  const late = Promise.withResolvers<never>()
  const timer = setTimeout(() => late.reject(new DomainError('SERVICE_UNAVAILABLE', 'The database did not answer in time')), maxWaitMs)
  try {
    return await Promise.race([promise, late.promise])
  } finally {
    clearTimeout(timer)
  }
}

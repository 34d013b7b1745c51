import type { Task } from '@rdev/shared/domain/task'
import { inArray } from 'drizzle-orm'
import type { Clock } from '../../ports/clock.ts'
import type { Inserted, NewTask, TaskStore } from '../../ports/task-store.ts'
import type { Database } from './database.ts'
import { insertManyStatement, insertOneStatement } from './insert-statements.ts'
import { rawTask, taskOf, tasks } from './schema.ts'

type Refusal = Extract<Inserted, { refused: string }>['refused']

/** The statement's answer about one task: its row, or why it was refused; neither if a task with that id exists already. */
interface Answer {
  readonly task: Task | null
  readonly refused: Refusal | null
  /** The depth of the lane that the statement used. */
  readonly depth: number
}

export function postgresInsert(database: Database, clock: Clock): TaskStore['insert'] {
  const depths = new Depths()

  async function write(list: readonly NewTask[], known: ReadonlyMap<string, number>): Promise<readonly Answer[]> {
    const [only] = list
    if (list.length > 1 || !only) return (await database.rows(insertManyStatement(list, known))).map(answerOf)
    const [row] = await database.rows(insertOneStatement(only, known.get(only.spec.project_id) ?? null))
    return [answerOf(row && { ...row, has_project: true })]
  }

  /** Runs one statement. Lanes with a cached depth are not counted, unless `count` names them. */
  async function judge(list: readonly NewTask[], count: ReadonlySet<string>): Promise<readonly Answer[]> {
    const now = clock.now()
    const lanes = new Set(list.map(({ spec }) => spec.project_id))
    const known = new Map<string, number>()
    for (const lane of lanes) {
      const depth = count.has(lane) ? null : depths.known(lane, now)
      if (depth !== null) known.set(lane, depth)
    }
    try {
      const answers = await write(list, known)
      for (const lane of lanes) {
        const mine = answers.filter((_, i) => list[i]!.spec.project_id === lane)
        const added = mine.filter(({ task }) => task !== null).length
        // If the answered depth differs from the cached one, the statement has counted by itself.
        if (known.has(lane) && known.get(lane) === mine[0]!.depth) depths.inserted(lane, added)
        else if (mine[0]!.refused !== 'no_project') {
          const full = mine.some(({ refused }) => refused === 'queue_full')
          depths.counted(lane, { depth: mine[0]!.depth, inserted: added, full }, now)
        }
      }
      return answers
    } finally {
      for (const lane of lanes) if (!known.has(lane)) depths.done(lane)
    }
  }

  return async (list) => {
    if (list.length === 0) return []
    const answers = [...(await judge(list, new Set()))]

    // Recount before answering queue_full: the cached depth may be stale.
    const full = answers.flatMap(({ refused }, i) =>
      refused === 'queue_full' && depths.mayRecount(list[i]!.spec.project_id, clock.now()) ? [i] : [],
    )
    if (full.length > 0) {
      const again = full.map((i) => list[i]!)
      const judged = await judge(again, new Set(again.map(({ spec }) => spec.project_id)))
      for (const [n, i] of full.entries()) answers[i] = judged[n]!
    }

    const missing = list.filter((_, i) => answers[i]!.task === null).map(({ id }) => id)
    const there = await read(missing)
    return answers.map(({ task, refused }, i): Inserted => {
      if (task) return { task, repeated: false }
      const before = there.get(list[i]!.id)
      if (before) return { task: before, repeated: true }
      if (refused === null) throw new Error('a task was neither inserted nor there, nor refused')
      return { refused }
    })
  }

  async function read(ids: readonly string[]): Promise<ReadonlyMap<string, Task>> {
    if (ids.length === 0) return new Map()
    const rows = await database.run(
      database.db
        .select()
        .from(tasks)
        .where(inArray(tasks.id, [...ids])),
    )
    return new Map(rows.map((row) => [row.id, taskOf(row)]))
  }
}

function answerOf(row: Readonly<Record<string, unknown>> | undefined): Answer {
  if (row?.has_project !== true) return { task: null, refused: 'no_project', depth: 0 }
  const refused = row.has_session !== true ? 'no_session' : row.has_pool !== true ? 'no_pool' : row.has_room !== true ? 'queue_full' : null
  return { task: row.id === null ? null : rawTask(row), refused, depth: Number(row.depth) }
}

// How deep the lanes are, as far as this program knows: what was counted, and what it inserted since. Counting costs about 0.1 µs a queued
// task, so it is done again after a time that grows with the depth, and before a lane is called full. What others insert meanwhile is not
// seen: a lane may go over its cap by as much. (A counter in the lane's row would be exact, and every insert would wait for it: one
// project's accepts would go one after another. A cap of a thousand and less is counted each time, in the statement.)

interface Known {
  readonly depth: number
  readonly countedAt: number
  /** When a count last found it full. */
  readonly fullAt: number | null
}

/** A full lane is counted this often at most, however many knock. */
const recountMs = 1_000
const maxAgeMs = 60_000
const maxAge = ({ depth }: Known) => Math.min(maxAgeMs, recountMs + depth / 20)

/** Lanes known at once; beyond that all are forgotten. */
const maxLanes = 10_000

export class Depths {
  readonly #lanes = new Map<string, Known>()
  readonly #counting = new Set<string>()

  /** Null: count it. While one counts, the others go by what was known. */
  known(lane: string, now: number): number | null {
    const known = this.#lanes.get(lane)
    if (!known) return null
    if (now - known.countedAt < maxAge(known) || this.#counting.has(lane)) return known.depth
    this.#counting.add(lane)
    return null
  }

  /** Whether a lane that was called full by what is known should be counted. */
  mayRecount(lane: string, now: number): boolean {
    const known = this.#lanes.get(lane)
    return known !== undefined && (known.fullAt === null || now - known.fullAt >= recountMs)
  }

  counted(lane: string, { depth, inserted, full }: { depth: number; inserted: number; full: boolean }, now: number): void {
    if (this.#lanes.size >= maxLanes) this.#lanes.clear()
    this.#lanes.set(lane, { depth: depth + inserted, countedAt: now, fullAt: full ? now : null })
  }

  inserted(lane: string, count: number): void {
    const known = this.#lanes.get(lane)
    if (known) this.#lanes.set(lane, { ...known, depth: known.depth + count })
  }

  /** Whoever was told to count has, or could not. */
  done(lane: string): void {
    this.#counting.delete(lane)
  }
}

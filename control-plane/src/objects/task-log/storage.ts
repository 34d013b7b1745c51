// A log's SQLite: a row per batch, its lines joined as readers get them (`<seq> <type> <json>`), and one row for all else. A batch is
// encoded once, when it is stored; every reader and every format gets those bytes.

import type { TaskEvent } from '@rdev/shared/domain/event'
import type { TaskLogMemory } from './machine.ts'

/** A row of SQLite holds 2 MB of UTF-8; this many UTF-16 units never exceed it. */
export const maxRowChars = 512 * 1024

export interface Batch {
  readonly first: number
  readonly last: number
  readonly body: string
}

/** JSON has no raw newline and neither seq nor type has a space, so a line needs no escaping. */
export const encodeLine = ({ seq, type, time, task_id, attempt, data }: TaskEvent): string =>
  `${seq} ${type} {"seq":${seq},"type":"${type}","time":"${time}","task_id":"${task_id}","attempt":${attempt},"data":${JSON.stringify(data)}}`

export function encodeBatches(events: readonly TaskEvent[]): Batch[] {
  const batches: Batch[] = []
  let lines: string[] = []
  let chars = 0
  let first = 0
  let last = 0
  const flush = () => {
    if (lines.length > 0) batches.push({ first, last, body: lines.join('\n') })
    lines = []
    chars = 0
  }
  for (const event of events) {
    const line = encodeLine(event)
    if (chars + line.length > maxRowChars) flush()
    if (lines.length === 0) first = event.seq
    last = event.seq
    lines.push(line)
    chars += line.length + 1
  }
  flush()
  return batches
}

export class TaskLogStorage {
  readonly #storage: DurableObjectStorage
  readonly #sql: SqlStorage

  constructor(storage: DurableObjectStorage) {
    this.#storage = storage
    this.#sql = storage.sql
    this.#sql.exec('CREATE TABLE IF NOT EXISTS batch (last INTEGER PRIMARY KEY, first INTEGER NOT NULL, body TEXT NOT NULL)')
    this.#sql.exec('CREATE TABLE IF NOT EXISTS memory (id INTEGER PRIMARY KEY CHECK (id = 0), json TEXT NOT NULL)')
  }

  load(): TaskLogMemory | undefined {
    const [row] = this.#sql.exec<{ json: string }>('SELECT json FROM memory').toArray()
    return row && (JSON.parse(row.json) as TaskLogMemory)
  }

  /** Both or neither. */
  save(batches: readonly Batch[], memory: TaskLogMemory): void {
    this.#storage.transactionSync(() => {
      for (const { first, last, body } of batches) {
        this.#sql.exec('INSERT INTO batch (last, first, body) VALUES (?, ?, ?)', last, first, body)
      }
      this.#sql.exec('INSERT OR REPLACE INTO memory (id, json) VALUES (0, ?)', JSON.stringify(memory))
    })
  }

  /** What follows `after`, in parts of one row each. */
  *after(after: number): Generator<Batch, void> {
    for (const row of this.#sql.exec<{ first: number; last: number; body: string }>(
      'SELECT first, last, body FROM batch WHERE last > ? ORDER BY last',
      after,
    )) {
      yield row.first > after ? row : { first: after + 1, last: row.last, body: dropLines(row.body, after - row.first + 1) }
    }
  }

  /** At most `limit` lines, and no more than about `maxRowChars` of them, but at least one if there is one. */
  page(after: number, limit: number): { body: string; last: number } {
    const bodies: string[] = []
    let last = after
    let chars = 0
    for (const batch of this.after(after)) {
      if (bodies.length > 0 && chars + batch.body.length > maxRowChars) break
      const room = limit - (last - after)
      const count = batch.last - batch.first + 1
      bodies.push(count <= room ? batch.body : keepLines(batch.body, room))
      last += Math.min(count, room)
      chars += batch.body.length
      if (last - after >= limit) break
    }
    return { body: bodies.join('\n'), last }
  }
}

/** Where the line after `count` lines begins. */
function offsetOf(body: string, count: number): number {
  let offset = 0
  for (let i = 0; i < count; i++) offset = body.indexOf('\n', offset) + 1
  return offset
}
const dropLines = (body: string, count: number): string => body.slice(offsetOf(body, count))
const keepLines = (body: string, count: number): string => body.slice(0, offsetOf(body, count) - 1)

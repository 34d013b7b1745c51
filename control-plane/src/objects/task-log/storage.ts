// A log's SQLite tables: a row per batch, and one row for the rest of its memory.

import type { Batch } from './batches.ts'
import type { TaskLogMemory } from './machine.ts'

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

  /** Writes both or neither. */
  save(batches: readonly Batch[], memory: TaskLogMemory): void {
    this.#storage.transactionSync(() => {
      for (const { first, last, body } of batches) {
        this.#sql.exec('INSERT INTO batch (last, first, body) VALUES (?, ?, ?)', last, first, body)
      }
      this.#sql.exec('INSERT OR REPLACE INTO memory (id, json) VALUES (0, ?)', JSON.stringify(memory))
    })
  }

  /** From the row that holds what follows `after`. */
  rows(after: number): Iterable<Batch> {
    return this.#sql.exec<{ first: number; last: number; body: string }>(
      'SELECT first, last, body FROM batch WHERE last > ? ORDER BY last',
      after,
    )
  }
}

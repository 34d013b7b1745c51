// Cloudflare's side of one task's log: its SQLite, its sockets, its calls.

import type { Task, TaskOutcome } from '@rdev/shared/domain/task'
import { DurablePlatform, SocketObject } from '../durable-object.ts'
import type { Batch } from './batches.ts'
import { TaskLogDriver, type TaskLogAttachment, type TaskLogDeps, type TaskLogPlatform, type TaskLogWrite } from './driver.ts'
import type { TaskLogMemory } from './machine.ts'

/** A row per batch, and one row for all else. */
class TaskLogStorage {
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

  /** From the row that holds what follows `after`. */
  rows(after: number): Iterable<Batch> {
    return this.#sql.exec<{ first: number; last: number; body: string }>(
      'SELECT first, last, body FROM batch WHERE last > ? ORDER BY last',
      after,
    )
  }
}

class Platform extends DurablePlatform<TaskLogMemory | undefined, TaskLogWrite, TaskLogAttachment> implements TaskLogPlatform {
  readonly #storage: TaskLogStorage

  constructor(ctx: DurableObjectState) {
    super(ctx)
    this.#storage = new TaskLogStorage(ctx.storage)
  }

  load(): TaskLogMemory | undefined {
    return this.#storage.load()
  }
  commit({ batches, memory, alarmAt }: TaskLogWrite): void {
    if (memory !== null) this.#storage.save(batches, memory)
    // The runtime writes everything that is set without an await in between together.
    if (alarmAt !== undefined) void (alarmAt === null ? this.ctx.storage.deleteAlarm() : this.ctx.storage.setAlarm(alarmAt))
  }
  rows(after: number): Iterable<Batch> {
    return this.#storage.rows(after)
  }
}

export class TaskLogObject extends SocketObject {
  protected readonly platform: Platform
  protected readonly driver: TaskLogDriver

  constructor(ctx: DurableObjectState, env: unknown, deps: TaskLogDeps) {
    super(ctx, env)
    this.platform = new Platform(ctx)
    this.driver = new TaskLogDriver(this.platform, deps)
  }

  async sync(task: Task): Promise<void> {
    this.driver.sync(task)
  }
  async cancel(task: Task, graceS: number): Promise<void> {
    this.driver.cancel(task, graceS)
  }
  async received(task: Task): Promise<boolean> {
    return this.driver.received(task)
  }
  /** A key of the cluster was revoked. The call may be lost: an open line judges its key again. */
  async keyRevoked(keyId: string): Promise<void> {
    this.driver.keyRevoked(keyId)
  }
  async end(task: Task, outcome: TaskOutcome): Promise<void> {
    this.driver.end(task, outcome)
  }
  async page(after: number, limit: number): Promise<{ body: string; finished: boolean }> {
    return this.driver.page(after, limit)
  }

  /** Sockets: `/line` of an attempt, `/read` of a reader. Only the Worker can call this, and it has authenticated the caller. */
  override async fetch(request: Request): Promise<Response> {
    const { pathname, searchParams } = new URL(request.url)
    return this.platform.upgrade((connection) => {
      if (pathname === '/line') {
        const number = (name: string) => Number(searchParams.get(name))
        const [attempt, epoch, expires_at, judged_at] = [number('attempt'), number('epoch'), number('expires_at'), number('judged_at')]
        return this.driver.connectLine({ connection, attempt, epoch, key_id: searchParams.get('key_id') ?? '', expires_at, judged_at })
      }
      const wants = searchParams.has('end') ? 'end' : searchParams.has('deltas') ? 'deltas' : 'entries'
      this.driver.connectReader(connection, Number(searchParams.get('after') ?? 0), wants)
    })
  }
}

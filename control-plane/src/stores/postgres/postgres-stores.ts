// The stores on Postgres, by drizzle over Neon's HTTP protocol. Each call is one request; what it writes, it writes in one statement.
import type { ApiKey } from '@rdev/shared/domain/api-key'
import { and, desc, eq, inArray, lt, sql } from 'drizzle-orm'
import type { Clock } from '../../ports/clock.ts'
import type { KeyStore } from '../../ports/key-store.ts'
import type { SessionStore } from '../../ports/session-store.ts'
import { afterOf, pageOfRows } from '../paging.ts'
import { type Connection, Database } from './connection.ts'
import { postgresDispatch } from './dispatch.ts'
import { postgresIdempotency } from './idempotency.ts'
import { postgresProjects } from './projects.ts'
import { postgresTasks } from './tasks.ts'
import { apiKeys, clusters, sessions } from './schema.ts'
import { isStorable, storable } from '../storable.ts'
import type { Stores } from '../stores.ts'

/** `clock` gives the times that clients see; leases and deadlines go by Postgres' own. */
export function postgresStores(options: Connection & { readonly clock: Clock }): Stores {
  const database = new Database(options)
  return {
    tasks: postgresTasks(database, options.clock),
    dispatch: postgresDispatch(database, options.clock),
    sessions: postgresSessions(database),
    projects: postgresProjects(database, options.clock),
    clusters: {
      list: () =>
        database.run(
          database.db
            .select({ id: clusters.id })
            .from(clusters)
            .orderBy(sql`${clusters.id} collate "C"`),
        ),
    },
    keys: postgresKeys(database),
    idempotency: postgresIdempotency(database),
    // Also false before the migrations ran.
    ready: () =>
      database.rows(sql`select from pools limit 0`).then(
        () => true,
        () => false,
      ),
  }
}

function postgresSessions(database: Database): SessionStore {
  const { db } = database
  return {
    async get(id, projects) {
      if (!isStorable(id)) return undefined
      const mine = projects === null ? undefined : inArray(sessions.project_id, [...projects])
      const [row] = await database.run(
        db
          .select()
          .from(sessions)
          .where(and(eq(sessions.id, id), mine)),
      )
      return row
    },
    async getMany(ids, projects) {
      const mine = projects === null ? undefined : inArray(sessions.project_id, [...projects])
      const wanted = and(inArray(sessions.id, ids.filter(isStorable)), mine)
      return database.run(db.select().from(sessions).where(wanted))
    },
    async list({ projects, project_id }, page) {
      const after = afterOf(page)
      const wanted = and(
        projects === null ? undefined : inArray(sessions.project_id, [...projects]),
        project_id === undefined ? undefined : eq(sessions.project_id, project_id),
        after === null ? undefined : lt(sessions.id, after),
      )
      const rows = await database.run(
        db
          .select()
          .from(sessions)
          .where(wanted)
          .orderBy(desc(sessions.id))
          .limit(page.limit + 1),
      )
      return pageOfRows(rows, page.limit)
    },
  }
}

function postgresKeys(database: Database): KeyStore {
  const { db } = database
  const get: KeyStore['get'] = async (id) => {
    if (!isStorable(id)) return undefined
    const [row] = await database.run(db.select().from(apiKeys).where(eq(apiKeys.id, id)))
    return row
  }
  return {
    get,
    async insert(key: ApiKey) {
      const row = { ...key, name: storable(key.name), scopes: [...key.scopes], project_ids: key.project_ids && [...key.project_ids] }
      await database.run(db.insert(apiKeys).values(row))
    },
    async findByPrefix(prefix) {
      const [row] = await database.run(db.select().from(apiKeys).where(eq(apiKeys.prefix, prefix)))
      return row
    },
    async list(page) {
      const after = afterOf(page)
      const rows = await database.run(
        db
          .select()
          .from(apiKeys)
          .where(after === null ? undefined : lt(apiKeys.id, after))
          .orderBy(desc(apiKeys.id))
          .limit(page.limit + 1),
      )
      return pageOfRows(rows, page.limit)
    },
    async revoke(id, now) {
      if (!isStorable(id)) return undefined
      // Only the first revocation writes.
      const first = and(eq(apiKeys.id, id), sql`${apiKeys.revoked_at} is null`)
      const [row] = await database.run(db.update(apiKeys).set({ revoked_at: now }).where(first).returning())
      return row ?? get(id)
    },
  }
}

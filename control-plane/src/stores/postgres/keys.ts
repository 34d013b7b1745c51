import type { ApiKey } from '@rdev/shared/domain/api-key'
import { and, desc, eq, lt, type SQL, sql } from 'drizzle-orm'
import type { ProjectFilter } from '../../ports/actor.ts'
import type { KeyStore } from '../../ports/key-store.ts'
import { afterOf, pageOfRows } from '../paging.ts'
import { isStorable, storable } from '../storable.ts'
import type { Database } from './database.ts'
import { apiKeys } from './schema.ts'

/** The domain's `liesWithin` in SQL: a key of every project (null) lies within no list. */
const within = (projects: ProjectFilter): SQL | undefined =>
  projects === null
    ? undefined
    : sql`${apiKeys.project_ids} <@ array(select json_array_elements_text(${JSON.stringify(projects.filter(isStorable))}::json))`

export function postgresKeys(database: Database): KeyStore {
  const { db } = database
  const get: KeyStore['get'] = async (id, projects) => {
    if (!isStorable(id)) return undefined
    const [row] = await database.run(
      db
        .select()
        .from(apiKeys)
        .where(and(eq(apiKeys.id, id), within(projects))),
    )
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
    async list(projects, page) {
      const after = afterOf(page)
      const rows = await database.run(
        db
          .select()
          .from(apiKeys)
          .where(and(within(projects), after === null ? undefined : lt(apiKeys.id, after)))
          .orderBy(desc(apiKeys.id))
          .limit(page.limit + 1),
      )
      return pageOfRows(rows, page.limit)
    },
    async revoke(id, { project_ids }, now) {
      if (!isStorable(id)) return undefined
      // Only the first revocation writes; a repeated one reads.
      const first = and(eq(apiKeys.id, id), within(project_ids), sql`${apiKeys.revoked_at} is null`)
      const [row] = await database.run(db.update(apiKeys).set({ revoked_at: now }).where(first).returning())
      return row ?? get(id, project_ids)
    },
  }
}

import type { ApiKey } from '@rdev/shared/domain/api-key'
import { DomainError } from '@rdev/shared/domain/errors'
import { and, desc, eq, getTableColumns, gt, isNull, lt, or, type SQL, sql } from 'drizzle-orm'
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

/** All that this key made, itself or through keys that it made. */
const madeBy = (id: string): SQL => sql`${apiKeys.id} in (
  with recursive made as (
    select k.id from api_keys k where k.created_by = ${id}
    union
    select k.id from api_keys k join made on k.created_by = made.id
  )
  select id from made
)`

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
      const row = {
        ...key,
        name: storable(key.name),
        scopes: [...key.scopes],
        project_ids: key.project_ids && [...key.project_ids],
        cluster_project_ids: [...key.cluster_project_ids],
      }
      const columns = Object.entries(getTableColumns(apiKeys))
      const values = columns.map(([name, column]) => {
        const value = row[name as keyof ApiKey]
        return sql`${value === null ? null : sql.param(value, column)}::${sql.raw(column.getSQLType())}`
      })
      // A caller that is remembered as valid may be revoked by now, and what it makes then would outlive it.
      const [made] = await database.rows(sql`
insert into api_keys (${sql.raw(columns.map(([, column]) => column.name).join(', '))})
select ${sql.join(values, sql.raw(', '))}
where not exists (select from api_keys maker where maker.id = ${row.created_by}::text and maker.revoked_at is not null)
returning id`)
      if (made === undefined) throw new DomainError('KEY_REVOKED')
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
    async madeBy(id, projects, now) {
      if (!isStorable(id)) return []
      return database.run(
        db
          .select()
          .from(apiKeys)
          .where(and(madeBy(id), within(projects), isNull(apiKeys.revoked_at), or(isNull(apiKeys.expires_at), gt(apiKeys.expires_at, now))))
          .orderBy(desc(apiKeys.id))
          .limit(200),
      )
    },
    async revokeMadeBy(id, { project_ids }, now) {
      if (!isStorable(id)) return []
      return database.run(
        db
          .update(apiKeys)
          .set({ revoked_at: now })
          .where(and(madeBy(id), within(project_ids), isNull(apiKeys.revoked_at)))
          .returning(),
      )
    },
  }
}

// The stores on Postgres, by drizzle over Neon's HTTP protocol. Each call writes in a single statement.
import { and, desc, eq, inArray, lt, sql } from 'drizzle-orm'
import type { Clock } from '../../ports/clock.ts'
import type { SessionStore } from '../../ports/session-store.ts'
import { afterOf, pageOfRows } from '../paging.ts'
import { type Connection, Database } from './database.ts'
import { postgresIdempotency } from './idempotency.ts'
import { postgresKeys } from './keys.ts'
import { postgresProjects } from './projects.ts'
import { postgresDispatch, postgresTasks } from './tasks.ts'
import { clusters, sessions } from './schema.ts'
import { isStorable } from '../storable.ts'
import type { Stores } from '../stores.ts'

/** `clock` gives the times that clients see; leases and deadlines use Postgres' own clock. */
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
    // Also false before the migrations have run.
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

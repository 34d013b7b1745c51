import { and, eq, inArray, sql } from 'drizzle-orm'
import type { Clock } from '../../ports/clock.ts'
import type { ProjectStore } from '../../ports/project-store.ts'
import { afterOf, pageOfRows } from '../paging.ts'
import { at, type Database } from './database.ts'
import { isProjectId } from '@rdev/shared/domain/project'
import { given, projectPods } from '../project-pods.ts'
import { projects } from './schema.ts'
import { isStorable } from '../storable.ts'

export function postgresProjects(database: Database, clock: Clock): ProjectStore {
  const { db } = database
  return {
    async get(id, filter) {
      if (!isStorable(id) || (filter !== null && !filter.includes(id))) return undefined
      const [row] = await database.run(db.select().from(projects).where(eq(projects.id, id)))
      return row
    },

    async getMany(ids, filter) {
      const wanted = ids.filter((id) => isStorable(id) && (filter === null || filter.includes(id)))
      return database.run(db.select().from(projects).where(inArray(projects.id, wanted)))
    },

    async list(filter, page) {
      const after = afterOf(page)
      const wanted = and(
        filter === null ? undefined : inArray(projects.id, [...filter]),
        after === null ? undefined : sql`${projects.id} collate "C" > ${after}`,
      )
      const rows = await database.run(
        db
          .select()
          .from(projects)
          .where(wanted)
          .orderBy(sql`${projects.id} collate "C"`)
          .limit(page.limit + 1),
      )
      return pageOfRows(rows, page.limit)
    },

    // One statement that compares first: a report without changes takes no lock and writes nothing.
    async report(clusterId, pods, mayRegister) {
      const may = JSON.stringify(mayRegister.filter(isProjectId))
      const reported = JSON.stringify(projectPods(pods))
      const now = at(clock.now())
      await database.rows(sql`
with told as materialized (
  select * from json_to_recordset(${reported}::json) as (id text, pod text, allow_bypass_permissions bool)
),
registered as (
  insert into clusters (id, created_at) select ${clusterId}::text, ${now}
  where not exists (select from clusters c where c.id = ${clusterId})
  on conflict do nothing
),
changed as materialized (
  select told.* from told left join projects p on p.id = told.id
  where (p.id is null and told.id in (select json_array_elements_text(${may}::json)))
    or (p.cluster_id = ${clusterId} and (p.pod, p.allow_bypass_permissions) is distinct from (told.pod, told.allow_bypass_permissions))
),
written as (
  insert into projects as p (id, cluster_id, pod, allow_bypass_permissions, created_at, updated_at)
  select id, ${clusterId}::text, pod, allow_bypass_permissions, ${now}, ${now} from changed order by id
  on conflict (id) do update
  set pod = excluded.pod, allow_bypass_permissions = excluded.allow_bypass_permissions, updated_at = excluded.updated_at
  where p.cluster_id = excluded.cluster_id
)
update projects p set pod = null, updated_at = ${now}
where p.cluster_id = ${clusterId} and p.pod is not null and p.id not in (select id from told)`)
    },

    async register(id, clusterId) {
      const now = at(clock.now())
      await database.rows(sql`
with registered as (
  insert into clusters (id, created_at) values (${clusterId}, ${now}) on conflict do nothing
)
insert into projects (id, cluster_id, created_at, updated_at) values (${id}, ${clusterId}, ${now}, ${now})
on conflict do nothing`)
      const [project] = await database.run(db.select().from(projects).where(eq(projects.id, id)))
      if (project === undefined) throw new Error('a project that was registered is not there')
      return project
    },

    async change(id, { project_ids }, change) {
      if (!isStorable(id) || (project_ids !== null && !project_ids.includes(id))) return undefined
      const [row] = await database.run(
        db
          .update(projects)
          .set({ ...given(change), updated_at: clock.now() })
          .where(eq(projects.id, id))
          .returning(),
      )
      return row
    },
  }
}

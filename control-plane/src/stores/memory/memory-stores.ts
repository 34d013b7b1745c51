// The stores in memory, for tests of everything that uses the ports. They run the domain's own transitions, and pass the same contract suite
// as the Postgres stores.
import { liesWithin, type ApiKey } from '@rdev/shared/domain/api-key'
import { DomainError } from '@rdev/shared/domain/errors'
import { projectDefaults } from '@rdev/shared/domain/project'
import type { Task } from '@rdev/shared/domain/task'
import type { ProjectFilter } from '../../ports/actor.ts'
import type { Clock } from '../../ports/clock.ts'
import { memoryDispatch } from './dispatch.ts'
import { memoryIdempotency } from './idempotency.ts'
import { allows, memoryRows, pageDown, pageUp } from './rows.ts'
import { memoryTasks } from './tasks.ts'
import { given, projectPods } from '../project-pods.ts'
import { StoreRefusal } from '../../ports/store-refusal.ts'
import { isStorable } from '../storable.ts'
import type { Stores } from '../stores.ts'

/** `onEnd` is called with every task that ends. */
export function memoryStores(clock: Clock, onEnd: (task: Task) => void = () => {}): Stores {
  const rows = memoryRows(onEnd)
  const keyWithin = (id: string, projects: ProjectFilter) => {
    const key = rows.keys.get(id)
    return key && liesWithin(key, projects) ? key : undefined
  }
  /** The map has the order of insertion, so a key comes after its maker. */
  const madeBy = (id: string, projects: ProjectFilter): ApiKey[] => {
    const line = new Set([id])
    for (const key of rows.keys.values()) if (line.has(key.created_by)) line.add(key.id)
    return [...rows.keys.values()].filter((key) => key.id !== id && line.has(key.id) && liesWithin(key, projects))
  }
  return {
    tasks: memoryTasks(rows, clock),
    dispatch: memoryDispatch(rows, clock),

    sessions: {
      async get(id, projects) {
        const session = rows.sessions.get(id)
        return session && allows(projects, session.project_id) ? session : undefined
      },
      async getMany(ids, projects) {
        return [...new Set(ids)].flatMap((id) => rows.sessions.get(id) ?? []).filter((session) => allows(projects, session.project_id))
      },
      async list({ projects, project_id }, page) {
        const seen = [...rows.sessions.values()].filter(
          (session) => allows(projects, session.project_id) && (project_id === undefined || session.project_id === project_id),
        )
        return pageDown(seen, page)
      },
    },

    projects: {
      async get(id, projects) {
        const project = rows.projects.get(id)
        return project && allows(projects, id) ? project : undefined
      },
      async getMany(ids, projects) {
        return [...new Set(ids)].flatMap((id) => rows.projects.get(id) ?? []).filter((project) => allows(projects, project.id))
      },
      async list(projects, page) {
        return pageUp(
          [...rows.projects.values()].filter((project) => allows(projects, project.id)),
          page,
        )
      },
      async report(clusterId, pods, mayRegister) {
        const now = clock.now()
        rows.clusters.add(clusterId)
        const reported = projectPods(pods)
        if (!reported.every(({ id, pod }) => isStorable(id) && isStorable(pod)))
          throw new StoreRefusal('data', 'a name that cannot be stored')
        for (const { id, pod, allow_bypass_permissions } of reported) {
          const before = rows.projects.get(id)
          if (!before) {
            if (!mayRegister.includes(id)) continue
            const fresh = { id, cluster_id: clusterId, pod, ...projectDefaults, allow_bypass_permissions, allow_pool: false }
            rows.projects.set(id, { ...fresh, created_at: now, updated_at: now })
          } else if (
            before.cluster_id === clusterId &&
            (before.pod !== pod || before.allow_bypass_permissions !== allow_bypass_permissions)
          ) {
            rows.projects.set(id, { ...before, pod, allow_bypass_permissions, updated_at: now })
          }
        }
        const here = new Set(reported.map((project) => project.id))
        for (const project of rows.projects.values()) {
          if (project.cluster_id === clusterId && project.pod !== null && !here.has(project.id)) {
            rows.projects.set(project.id, { ...project, pod: null, updated_at: now })
          }
        }
      },
      async register(id, clusterId) {
        const before = rows.projects.get(id)
        if (before) return before
        const now = clock.now()
        const unknown = { pod: null, allow_bypass_permissions: false, allow_pool: false, created_at: now, updated_at: now }
        const project = { id, cluster_id: clusterId, ...projectDefaults, ...unknown }
        rows.clusters.add(clusterId)
        rows.projects.set(id, project)
        return project
      },
      async change(id, actor, change) {
        const before = rows.projects.get(id)
        if (!before || !allows(actor.project_ids, id)) return undefined
        const after = { ...before, ...given(change), updated_at: clock.now() }
        rows.projects.set(id, after)
        return after
      },
    },

    clusters: {
      list: async () => [...rows.clusters].sort().map((id) => ({ id })),
    },

    keys: {
      async insert(key) {
        if (rows.keys.has(key.id) || [...rows.keys.values()].some((other) => other.prefix === key.prefix)) {
          throw new Error('that key exists already')
        }
        if ((rows.keys.get(key.created_by)?.revoked_at ?? null) !== null) throw new DomainError('KEY_REVOKED')
        rows.keys.set(key.id, structuredClone(key))
      },
      findByPrefix: async (prefix) => [...rows.keys.values()].find((key) => key.prefix === prefix),
      get: async (id, projects) => keyWithin(id, projects),
      list: async (projects, page) =>
        pageDown(
          [...rows.keys.values()].filter((key) => liesWithin(key, projects)),
          page,
        ),
      async revoke(id, actor, now) {
        const key = keyWithin(id, actor.project_ids)
        if (key && key.revoked_at === null) rows.keys.set(id, { ...key, revoked_at: now })
        return keyWithin(id, actor.project_ids)
      },
      madeBy: async (id, projects, now) =>
        pageDown(
          madeBy(id, projects).filter((key) => key.revoked_at === null && (key.expires_at === null || key.expires_at > now)),
          { limit: 200 },
        ).data,
      async revokeMadeBy(id, { project_ids }, now) {
        const revoked = madeBy(id, project_ids).flatMap((key) => (key.revoked_at === null ? { ...key, revoked_at: now } : []))
        for (const key of revoked) rows.keys.set(key.id, key)
        return revoked
      },
    },

    idempotency: memoryIdempotency(clock),

    ready: async () => true,
  }
}

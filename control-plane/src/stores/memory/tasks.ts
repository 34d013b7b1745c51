import type { Task } from '@rdev/shared/domain/task'
import type { Clock } from '../../ports/clock.ts'
import type { Inserted, NewTask, TaskStore } from '../../ports/task-store.ts'
import { queueLane } from './queue.ts'
import { allows, type MemoryRows, pageDown, saved, tasksWhere } from './rows.ts'

/** Every method does its work before its first await, so it is as atomic as a single statement of the Postgres store. */
export function memoryTasks(rows: MemoryRows, clock: Clock): TaskStore {
  const save = (task: Task) => saved(rows, task)
  const all = (test: (task: Task) => boolean) => tasksWhere(rows, test)

  function insertOne({ id, spec, actor, created_at, new_session, retry_of }: NewTask): Inserted {
    const known = rows.tasks.get(id)
    if (known) return { task: known, repeated: true }
    const project = rows.projects.get(spec.project_id)
    if (!project) return { refused: 'no_project' }
    if (spec.session_id !== null && !new_session && rows.sessions.get(spec.session_id)?.project_id !== spec.project_id) {
      return { refused: 'no_session' }
    }
    if (spec.target === 'pool' && !project.allow_pool) return { refused: 'no_pool' }
    let depth = 0
    for (const task of rows.tasks.values()) if (task.status === 'queued' && task.spec.project_id === project.id) depth++
    if (depth >= project.max_queued) {
      return { refused: 'queue_full' }
    }
    if (spec.session_id !== null) {
      const before = rows.sessions.get(spec.session_id)
      if (new_session) {
        if (before || spec.provider === null) throw new Error(`session ${spec.session_id} cannot begin`)
        rows.sessions.set(spec.session_id, {
          id: spec.session_id,
          project_id: spec.project_id,
          provider: spec.provider,
          workspace: spec.workspace,
          provider_session_id: null,
          pod: null,
          last_task_id: id,
          created_at,
          updated_at: created_at,
        })
      } else if (before) {
        rows.sessions.set(spec.session_id, { ...before, last_task_id: id, updated_at: created_at })
      }
    }
    const task = save({
      id,
      spec: structuredClone(spec),
      status: 'queued',
      attempt: 0,
      lane: spec.project_id,
      // If the caller's clock is ahead of the store's, take the store's: a new task must be due at once.
      run_after: Math.max(Math.min(created_at, clock.now()), spec.run_after ?? 0),
      queue_deadline_at: spec.queue_ttl_s === null ? null : created_at + Math.round(spec.queue_ttl_s * 1000),
      cluster_id: project.cluster_id,
      pod: null,
      pod_uid: null,
      lease_until: null,
      claim_id: null,
      cancel_requested_at: null,
      created_by: actor.key_id,
      created_at,
      started_at: null,
      finished_at: null,
      exit_code: null,
      result: null,
      error_code: null,
      error: null,
      usage: null,
      cost_usd: null,
      denied_tools: null,
      retry_of,
    })
    return { task, repeated: false }
  }

  return {
    insert: async (list) => list.map((one) => insertOne(one)),
    async get(id, projects) {
      const task = rows.tasks.get(id)
      return task && allows(projects, task.spec.project_id) ? task : undefined
    },

    async list({ projects, project_id, session_id, status, kind }, page) {
      return pageDown(
        all(
          ({ spec, ...task }) =>
            allows(projects, spec.project_id) &&
            (project_id === undefined || spec.project_id === project_id) &&
            (session_id === undefined || spec.session_id === session_id) &&
            (status === undefined || task.status === status) &&
            (kind === undefined || spec.kind === kind),
        ),
        page,
      )
    },

    async change(id, actor, step) {
      const before = rows.tasks.get(id)
      if (!before || !allows(actor.project_ids, before.spec.project_id)) return undefined
      return { before, after: save(step(before)) }
    },

    async queue({ projects, project_id }, limit) {
      const queued = Map.groupBy(
        all((task) => task.status === 'queued' && allows(projects, task.spec.project_id)),
        (task) => task.spec.project_id,
      )
      const now = clock.now()
      return [...queued]
        .filter(([id]) => project_id === undefined || id === project_id)
        .sort(([a, one], [b, other]) => other.length - one.length || (a < b ? -1 : 1))
        .slice(0, limit)
        .map(([id, tasks]) => queueLane(rows, id, tasks, now))
    },
  }
}

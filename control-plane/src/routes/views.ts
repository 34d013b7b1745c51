// Maps rows to what the API shows. A task's prompt, command and environment are never shown.

import { toInstant, toInstantOrNull } from '@rdev/shared/api/pages'
import type { QueueView } from '@rdev/shared/api/queue'
import type { keySchema, projectSchema, sessionSchema, workerSchema } from '@rdev/shared/api/resources'
import { shownOfSpec } from '@rdev/shared/api/tasks'
import type { TaskView } from '@rdev/shared/api/tasks'
import type { ApiKey } from '@rdev/shared/domain/api-key'
import { pick } from '@rdev/shared/domain/pick'
import type { Project } from '@rdev/shared/domain/project'
import type { Session } from '@rdev/shared/domain/session'
import type { Task } from '@rdev/shared/domain/task'
import type { z } from 'zod'
import type { HubStatus } from '../ports/hubs.ts'
import type { Page } from '../ports/page.ts'
import type { Queue } from '../usecases/read-queue.ts'

export function toTaskView(task: Task): TaskView {
  const { spec } = task
  return {
    id: task.id,
    ...pick(spec, shownOfSpec),
    status: task.status,
    // A spec that was stored before workspaces existed has none.
    workspace: spec.workspace ?? null,
    retry_of: task.retry_of,
    attempt: task.attempt,
    max_attempts: spec.retry.max_attempts,
    lane: task.lane,
    cluster_id: task.cluster_id,
    pod: task.pod,
    cancel_requested_at: toInstantOrNull(task.cancel_requested_at),
    created_at: toInstant(task.created_at),
    run_after: toInstant(task.run_after),
    started_at: toInstantOrNull(task.started_at),
    finished_at: toInstantOrNull(task.finished_at),
    exit_code: task.exit_code,
    result: task.result,
    error_code: task.error_code,
    error: task.error,
    usage: task.usage,
    cost_usd: task.cost_usd,
    denied_tools: task.denied_tools && [...task.denied_tools],
    events_url: `/v1/tasks/${task.id}/events`,
  }
}

export function toProjectView(project: Project): z.infer<typeof projectSchema> {
  return {
    id: project.id,
    cluster_id: project.cluster_id,
    pod: project.pod,
    max_running: project.max_running,
    weight: project.weight,
    max_queued: project.max_queued,
    paused: project.paused,
    allow_bypass_permissions: project.allow_bypass_permissions,
    allow_pool: project.allow_pool,
    created_at: toInstant(project.created_at),
    updated_at: toInstant(project.updated_at),
  }
}

export function toSessionView(session: Session): z.infer<typeof sessionSchema> {
  return {
    id: session.id,
    project_id: session.project_id,
    provider: session.provider,
    provider_session_id: session.provider_session_id,
    workspace: session.workspace,
    pod: session.pod,
    last_task_id: session.last_task_id,
    created_at: toInstant(session.created_at),
    updated_at: toInstant(session.updated_at),
  }
}

export function toQueueView({ lanes, more_lanes, clusters }: Queue): QueueView {
  const sum = (name: 'depth' | 'live') => lanes.reduce((total, lane) => total + lane[name], 0)
  return {
    depth: sum('depth'),
    live: sum('live'),
    oldest_at: lanes.length === 0 ? null : toInstant(Math.min(...lanes.map(({ oldest_at }) => oldest_at))),
    lanes: lanes.map(({ head, reason, ...lane }) => ({
      project_id: lane.project_id,
      cluster_id: lane.cluster_id,
      depth: lane.depth,
      live: lane.live,
      max_running: lane.max_running,
      weight: lane.weight,
      max_queued: lane.max_queued,
      paused: lane.paused,
      oldest_at: toInstant(lane.oldest_at),
      priorities: lane.priorities.map(({ priority, depth }) => ({ priority, depth })),
      head: { task_id: head.task_id, reason, until: reason === 'later' ? toInstant(head.run_after) : null, by: head.by },
    })),
    more_lanes,
    clusters: clusters.map(({ id, connected }) => ({ id, connected })),
  }
}

export function toWorkerView(clusterId: string, pod: HubStatus['pods'][number]): z.infer<typeof workerSchema> {
  const { name, role, project_id, ready, detail = null, slots, running, providers } = pod
  return { name, cluster_id: clusterId, role, project_id, ready, detail, slots, running, providers: [...providers] }
}

export function toKeyView(key: ApiKey): z.infer<typeof keySchema> {
  return {
    id: key.id,
    name: key.name,
    prefix: key.prefix,
    scopes: [...key.scopes],
    project_ids: key.project_ids && [...key.project_ids],
    cluster_id: key.cluster_id,
    cluster_project_ids: [...key.cluster_project_ids],
    created_at: toInstant(key.created_at),
    expires_at: toInstantOrNull(key.expires_at),
    revoked_at: toInstantOrNull(key.revoked_at),
  }
}

export const toPageView = <Row, View>(page: Page<Row>, toView: (row: Row) => View) => ({
  data: page.data.map(toView),
  next_cursor: page.next_cursor,
})

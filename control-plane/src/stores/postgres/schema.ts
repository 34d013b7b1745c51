// The tables, and how a row becomes a Task. CHECKs repeat the domain's rules, so that no statement can write a row that the domain does not
// know. What is never filtered (the spec, usage) is `json`, not `jsonb`: it comes back exactly as it went in, and a `\u0000` in metadata is
// no error. Storage parameters (fillfactor, autovacuum) are in a migration, because drizzle cannot express them.

import type { Scope } from '@rdev/shared/domain/api-key'
import type { AgentProvider } from '@rdev/shared/domain/code-agent'
import type { TaskErrorCode } from '@rdev/shared/domain/errors'
import type { DeniedTool, Usage } from '@rdev/shared/domain/event'
import {
  type Task,
  type TaskKind,
  type TaskSpec,
  type TaskStatus,
  type TaskTarget,
  taskKinds,
  taskStatuses,
  taskTargets,
  terminalStatuses,
} from '@rdev/shared/domain/task'
import { projectDefaults, projectLimits } from '@rdev/shared/domain/project'
import { getTableColumns, sql } from 'drizzle-orm'
import {
  boolean,
  check,
  customType,
  doublePrecision,
  index,
  integer,
  json,
  type PgColumn,
  pgTable,
  primaryKey,
  text,
  uniqueIndex,
  uuid,
} from 'drizzle-orm/pg-core'

/** Milliseconds since the epoch in the program, `timestamptz` with milliseconds in the table. */
const instant = customType<{ data: number; driverData: string }>({
  dataType: () => 'timestamp (3) with time zone',
  toDriver: (ms) => new Date(ms).toISOString(),
  fromDriver: (value) => new Date(value).getTime(),
})

const bytea = customType<{ data: string }>({ dataType: () => 'bytea' })

const words = (list: readonly string[]) => sql.raw(list.map((word) => `'${word}'`).join(', '))
const within = (column: PgColumn, { min, max }: { min: number; max: number }) => sql`${column} between ${sql.raw(`${min} and ${max}`)}`
const oneOf = (column: PgColumn, list: readonly string[]) => sql`${column} in (${words(list)})`

/** An attempt ends as the task does, or goes back to the queue without having started. */
export const attemptStatuses = ['leased', 'running', ...terminalStatuses, 'requeued'] as const
export type AttemptStatus = (typeof attemptStatuses)[number]

export const clusters = pgTable('clusters', {
  id: text().primaryKey(),
  created_at: instant().notNull(),
})

export const projects = pgTable(
  'projects',
  {
    id: text().primaryKey(),
    cluster_id: text()
      .notNull()
      .references(() => clusters.id),
    pod: text(),
    max_running: integer().notNull().default(projectDefaults.max_running),
    weight: integer().notNull().default(projectDefaults.weight),
    max_queued: integer().notNull().default(projectDefaults.max_queued),
    paused: boolean().notNull().default(projectDefaults.paused),
    allow_bypass_permissions: boolean().notNull().default(false),
    allow_pool: boolean().notNull().default(false),
    created_at: instant().notNull(),
    updated_at: instant().notNull(),
  },
  (t) => [
    index('projects_cluster').on(t.cluster_id),
    check('projects_max_running', sql`${t.max_running} >= 0`),
    check('projects_weight', within(t.weight, projectLimits.weight)),
    check('projects_max_queued', sql`${t.max_queued} >= 0`),
  ],
)

/**
 * Virtual times of start-time fair queueing, a lane's and its pool's; and the newest claim of the cluster that has run, by generation and
 * number. Every claim writes these rows, so they are apart from rows that others read or refer to. The first claim that needs them makes them.
 */
export const lanes = pgTable('lanes', {
  project_id: text()
    .primaryKey()
    .references(() => projects.id, { onDelete: 'cascade' }),
  vtime: doublePrecision().notNull(),
})
export const pools = pgTable('pools', {
  cluster_id: text()
    .primaryKey()
    .references(() => clusters.id, { onDelete: 'cascade' }),
  vtime: doublePrecision().notNull().default(0),
  generation: integer().notNull().default(0),
  claims: integer().notNull().default(0),
})

export const sessions = pgTable(
  'sessions',
  {
    id: text().primaryKey(),
    project_id: text()
      .notNull()
      .references(() => projects.id),
    provider: text().$type<AgentProvider>().notNull(),
    workspace: text(),
    provider_session_id: text(),
    pod: text(),
    last_task_id: text(),
    created_at: instant().notNull(),
    updated_at: instant().notNull(),
  },
  (t) => [index('sessions_project').on(t.project_id, t.id)],
)

export const tasks = pgTable(
  'tasks',
  {
    id: text().primaryKey(),
    // Fields of the spec that are filtered or checked; `spec` has all of them. None of these ever changes.
    project_id: text()
      .notNull()
      .references(() => projects.id),
    session_id: text().references(() => sessions.id),
    workspace: text(),
    kind: text().$type<TaskKind>().notNull(),
    target: text().$type<TaskTarget>().notNull(),
    priority: integer().notNull(),
    timeout_s: doublePrecision().notNull(),
    spec: json().$type<TaskSpec>().notNull(),
    created_by: text().notNull(),
    created_at: instant().notNull(),
    cluster_id: text()
      .notNull()
      .references(() => clusters.id),
    lane: text().notNull(),
    retry_of: text(),

    // The ordering key of a queued task; see ordering-key.ts.
    turn: text().notNull(),
    status: text().$type<TaskStatus>().notNull(),
    attempt: integer().notNull().default(0),
    run_after: instant().notNull(),
    queue_deadline_at: instant(),
    pod: text(),
    pod_uid: text(),
    lease_until: instant(),
    claim_id: text(),
    cancel_requested_at: instant(),
    started_at: instant(),
    finished_at: instant(),
    exit_code: integer(),
    result: text(),
    error_code: text().$type<TaskErrorCode>(),
    error: text(),
    usage: json().$type<Usage>(),
    cost_usd: doublePrecision(),
    denied_tools: json().$type<readonly DeniedTool[]>(),
  },
  (t) => {
    const queued = sql`${t.status} = 'queued'`
    const live = sql`${t.status} in ('leased', 'running')`
    return [
      // For the claim: the head of each ordering key of each lane. Its last columns are the order of the queue.
      index('tasks_queued_turn').on(t.cluster_id, t.lane, t.turn, t.priority, t.run_after, t.id).where(queued),
      index('tasks_queued_session')
        .on(t.session_id, t.priority, t.run_after, t.id)
        .where(sql`${queued} and ${t.session_id} is not null`),
      // For the next due time. The condition about the project is true of every row. It keeps the planner from using this index for a claim: only
      // a statement with the same condition can use it.
      index('tasks_queued_due')
        .on(t.cluster_id, t.run_after)
        .where(sql`${queued} and ${t.project_id} <> ''`),
      index('tasks_queued_deadline')
        .on(t.cluster_id, t.queue_deadline_at)
        .where(sql`${queued} and ${t.queue_deadline_at} is not null`),
      index('tasks_live_cluster').on(t.cluster_id).where(live),
      index('tasks_live_project').on(t.project_id).where(live),
      // At most one live task per session, and per workspace of a project, even if a statement has a bug.
      uniqueIndex('tasks_live_session').on(t.session_id).where(live),
      uniqueIndex('tasks_live_workspace')
        .on(t.project_id, t.workspace)
        .where(sql`${live} and ${t.workspace} is not null`),
      // Ids begin with their time, so their order is the order of creation.
      index('tasks_project').on(t.project_id, t.id),
      index('tasks_session')
        .on(t.session_id, t.id)
        .where(sql`${t.session_id} is not null`),
      check('tasks_status', oneOf(t.status, taskStatuses)),
      check('tasks_kind', oneOf(t.kind, taskKinds)),
      check('tasks_target', oneOf(t.target, taskTargets)),
      check('tasks_attempt', sql`${t.attempt} >= 0`),
      check('tasks_priority', sql`${t.priority} between 0 and 1000`),
      check('tasks_timeout', sql`${t.timeout_s} between 1 and 86400`),
      check('tasks_finished', sql`(${t.finished_at} is not null) = (${oneOf(t.status, terminalStatuses)})`),
      check('tasks_leased', sql`(${t.lease_until} is not null) = (${live})`),
      check('tasks_live', sql`not ${live} or (${t.attempt} > 0 and ${t.pod} is not null and ${t.claim_id} is not null)`),
      check('tasks_running', sql`${t.status} <> 'running' or ${t.started_at} is not null`),
    ]
  },
)

type Raw = Readonly<Record<string, unknown>>
export type TaskRow = typeof tasks.$inferSelect

export function taskOf(row: TaskRow): Task {
  const { project_id: _p, session_id: _s, workspace, kind: _k, target: _t, priority: _r, timeout_s: _o, turn: _u, spec, ...task } = row
  // Specs that were stored before workspaces existed have neither `workspace` nor `run_after`.
  return { ...task, spec: spec.workspace === undefined ? { ...spec, workspace, run_after: null } : spec }
}

/** The Task in a row of a raw statement, mapped by the table's columns, as drizzle's own queries do. */
export function rawTask(raw: Raw): Task {
  const row = Object.fromEntries(
    Object.entries(getTableColumns(tasks)).map(([name, column]) => {
      const value = raw[column.name]
      return [name, value === null || value === undefined ? null : column.mapFromDriverValue(value)]
    }),
  )
  return taskOf(row as TaskRow)
}

export const attempts = pgTable(
  'attempts',
  {
    task_id: text()
      .notNull()
      .references(() => tasks.id),
    n: integer().notNull(),
    cluster_id: text().notNull(),
    pod: text().notNull(),
    // Null: leased before this column existed.
    pod_uid: text(),
    claim_id: text().notNull(),
    status: text().$type<AttemptStatus>().notNull(),
    leased_at: instant().notNull(),
    started_at: instant(),
    ended_at: instant(),
    exit_code: integer(),
    error_code: text().$type<TaskErrorCode>(),
  },
  (t) => [
    primaryKey({ columns: [t.task_id, t.n] }),
    // For "has this claim leased anything?", also after its tasks went back to the queue.
    index('attempts_claim').on(t.claim_id),
    check('attempts_n', sql`${t.n} > 0`),
    check('attempts_status', oneOf(t.status, attemptStatuses)),
    check('attempts_ended', sql`(${t.ended_at} is null) = (${t.status} in ('leased', 'running'))`),
  ],
)

export const apiKeys = pgTable('api_keys', {
  id: text().primaryKey(),
  name: text().notNull(),
  prefix: text().notNull().unique('api_keys_prefix'),
  hash: text().notNull(),
  scopes: text().array().$type<readonly Scope[]>().notNull(),
  project_ids: text().array().$type<readonly string[]>(),
  cluster_id: text(),
  // Keys from before this column name no project: what their cluster has registered goes on.
  cluster_project_ids: text().array().$type<readonly string[]>().notNull().default([]),
  created_by: text().notNull(),
  created_at: instant().notNull(),
  expires_at: instant(),
  revoked_at: instant(),
})

/** Creating requests with an `Idempotency-Key`. `holder` identifies the request that handles it now; `status` null: not finished. */
export const idempotency = pgTable(
  'idempotency',
  {
    caller: text().notNull(),
    route: text().notNull(),
    key: text().notNull(),
    body_hash: text().notNull(),
    seed: bytea().notNull(),
    begun_at: instant().notNull(),
    holder: uuid().notNull(),
    held_at: instant().notNull(),
    expires_at: instant().notNull(),
    status: integer(),
    location: text(),
    body: text(),
  },
  (t) => [
    primaryKey({ columns: [t.caller, t.route, t.key] }),
    index('idempotency_expires').on(t.expires_at),
    check('idempotency_answer', sql`(${t.status} is null) = (${t.body} is null)`),
  ],
)

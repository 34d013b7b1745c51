// What the memory stores share: the tables as maps. Ids are compared by code unit, as the Postgres stores do (COLLATE "C").
import type { ApiKey } from '@rdev/shared/domain/api-key'
import type { Project } from '@rdev/shared/domain/project'
import type { Session } from '@rdev/shared/domain/session'
import { isTerminal, type Task } from '@rdev/shared/domain/task'
import type { ProjectFilter } from '../../ports/actor.ts'
import type { Page, PageRequest } from '../../ports/page.ts'
import type { VirtualTimes } from './claim.ts'
import { afterOf, pageOfRows } from '../paging.ts'

export interface MemoryRows {
  readonly clusters: Set<string>
  readonly projects: Map<string, Project>
  readonly sessions: Map<string, Session>
  readonly tasks: Map<string, Task>
  readonly keys: Map<string, ApiKey>
  /** Ids of claims that leased something: repeating one answers the same tasks and leases nothing more. */
  readonly claims: Set<string>
  /** By cluster: the newest claim that has run. */
  readonly newest: Map<string, { readonly generation: number; readonly number: number }>
  readonly times: VirtualTimes
  /** Called once for each task, when it ends. */
  readonly onEnd: (task: Task) => void
}

export const memoryRows = (onEnd: (task: Task) => void): MemoryRows => ({
  clusters: new Set(),
  projects: new Map(),
  sessions: new Map(),
  tasks: new Map(),
  keys: new Map(),
  claims: new Set(),
  newest: new Map(),
  times: { lanes: new Map(), pools: new Map() },
  onEnd,
})

/** Every write of a task. */
export function saved(rows: MemoryRows, task: Task): Task {
  const before = rows.tasks.get(task.id)
  rows.tasks.set(task.id, task)
  if (before && !isTerminal(before.status) && isTerminal(task.status)) rows.onEnd(task)
  return task
}

/** In the order of their ids. */
export const tasksWhere = (rows: MemoryRows, test: (task: Task) => boolean): Task[] =>
  [...rows.tasks.values()].filter(test).sort((a, b) => (a.id < b.id ? -1 : 1))

export const allows = (filter: ProjectFilter, projectId: string): boolean => filter === null || filter.includes(projectId)

const byId = (a: { readonly id: string }, b: { readonly id: string }) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0)

export function pageUp<Item extends { readonly id: string }>(items: Iterable<Item>, page: PageRequest): Page<Item> {
  const after = afterOf(page)
  const rows = [...items].filter((item) => after === null || item.id > after).sort(byId)
  return pageOfRows(rows.slice(0, page.limit + 1), page.limit)
}

/** Newest first: ids begin with their time. */
export function pageDown<Item extends { readonly id: string }>(items: Iterable<Item>, page: PageRequest): Page<Item> {
  const after = afterOf(page)
  const rows = [...items].filter((item) => after === null || item.id < after).sort((a, b) => byId(b, a))
  return pageOfRows(rows.slice(0, page.limit + 1), page.limit)
}

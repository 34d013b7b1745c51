// Every operation of the API, in the order of the reference. An operation that is not listed has no route, no page and no case in the
// authorisation suite. Tests fail for an operation that is defined and not listed, or listed and not handled.

import type { Operation } from '../operation.ts'
import { connectAttempt, connectCluster } from './connections.ts'
import { listProviders, listWorkers } from './fleet.ts'
import { createKey, deleteKey, getKey, listKeys, revokeKey } from './keys.ts'
import { createProject, getProject, listProjects, pauseProject, resumeProject, updateProject } from './projects.ts'
import { getQueue } from './queue.ts'
import { getHealth, getOpenApiDocument, getReadiness, getReferencePage } from './service.ts'
import { getSession, listSessions } from './sessions.ts'
import { runClaudeCode, runGit, runOpenCode, runShell } from './short-forms.ts'
import { cancelTask, createStreamTicket, createTask, createTasks, getTask, listTaskEvents, listTasks, retryTask } from './tasks.ts'

export const operations = [
  createTask,
  retryTask,
  listTasks,
  getTask,
  cancelTask,
  createStreamTicket,
  createTasks,
  getQueue,
  listTaskEvents,
  runClaudeCode,
  runOpenCode,
  runShell,
  runGit,
  listProjects,
  createProject,
  getProject,
  updateProject,
  pauseProject,
  resumeProject,
  listSessions,
  getSession,
  listWorkers,
  listProviders,
  createKey,
  listKeys,
  getKey,
  revokeKey,
  deleteKey,
  getHealth,
  getReadiness,
  connectCluster,
  connectAttempt,
  getOpenApiDocument,
  getReferencePage,
] as const satisfies readonly Operation[]

/** The operations by id, for the types of clients. */
export type Operations = { readonly [Op in (typeof operations)[number] as Op['id']]: Op }
export type OperationId = keyof Operations

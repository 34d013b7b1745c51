// Queueing a task under the project's path, which says project, kind and provider. The answer is that of createTask.

import { defineOperation } from '../operation.ts'
import { projectParams } from '../params.ts'
import { shortAgentTaskSchema, shortGitTaskSchema, shortShellTaskSchema } from '../tasks.ts'
import { queuesTask } from './queues-task.ts'

/** Said wherever git is asked for: nobody should give this right in the belief that it is less than a shell. */
const gitRunsAnything =
  'Git is no sandbox: its options, configuration, aliases and hooks run any command (`-c`, `--upload-pack`, `--exec-path` and others), so that ' +
  'this gives as much as kind `shell` does: everything that the pod allows.'

const shortForm = { ...queuesTask, method: 'POST', project: 'path.id', params: projectParams, audit: 'task.create' } as const

export const runClaudeCode = defineOperation({
  ...shortForm,
  id: 'runClaudeCode',
  path: '/v1/projects/:id/claude',
  summary: 'Run Claude Code in a project',
  body: shortAgentTaskSchema,
})

export const runOpenCode = defineOperation({
  ...shortForm,
  id: 'runOpenCode',
  path: '/v1/projects/:id/opencode',
  summary: 'Run OpenCode in a project',
  body: shortAgentTaskSchema,
})

export const runShell = defineOperation({
  ...shortForm,
  id: 'runShell',
  path: '/v1/projects/:id/shell',
  summary: 'Run a shell script in a project',
  body: shortShellTaskSchema,
})

export const runGit = defineOperation({
  ...shortForm,
  id: 'runGit',
  path: '/v1/projects/:id/git',
  summary: 'Run git in a project',
  description: gitRunsAnything,
  body: shortGitTaskSchema,
})

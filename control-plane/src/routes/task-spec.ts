import type { CreateTask } from '@rdev/shared/api/tasks'
import type { AskedTask } from '../usecases/create-task.ts'

/** From a valid body to what is kept: every field there, null where nothing was asked for; a workspace left out is settled later. */
export function toAskedTask(body: CreateTask): AskedTask {
  const common = {
    kind: body.kind,
    project_id: body.project_id,
    working_dir: body.working_dir ?? null,
    workspace: body.workspace,
    env: body.env,
    timeout_s: body.timeout_s,
    queue_ttl_s: body.queue_ttl_s ?? null,
    run_after: body.run_after === undefined ? null : Date.parse(body.run_after),
    idle_timeout_s: body.idle_timeout_s ?? null,
    priority: body.priority,
    retry: body.retry,
    target: body.target,
    labels: body.labels,
    metadata: body.metadata,
  }
  if (body.kind !== 'agent') {
    return {
      ...common,
      command: body.command,
      provider: null,
      prompt: null,
      session_id: null,
      model: null,
      allowed_tools: null,
      permission_mode: null,
      deltas: false,
    }
  }
  return {
    ...common,
    command: null,
    provider: body.provider,
    prompt: body.prompt,
    session_id: body.session_id ?? null,
    model: body.model ?? null,
    allowed_tools: body.allowed_tools ?? null,
    permission_mode: body.permission_mode ?? null,
    deltas: body.deltas,
  }
}

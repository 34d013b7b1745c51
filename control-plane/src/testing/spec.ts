import type { TaskSpec } from '@rdev/shared/domain/task'

/** What a test's task asks for unless it says otherwise. */
export const aSpec = (change: Partial<TaskSpec> = {}): TaskSpec => ({
  kind: 'shell',
  project_id: 'demo',
  provider: null,
  prompt: null,
  command: 'true',
  session_id: null,
  model: null,
  allowed_tools: null,
  permission_mode: null,
  working_dir: null,
  workspace: null,
  env: {},
  timeout_s: 60,
  queue_ttl_s: null,
  run_after: null,
  idle_timeout_s: null,
  priority: 100,
  retry: { max_attempts: 1, on: [] },
  target: 'project',
  deltas: false,
  fail_on_denied: false,
  labels: {},
  metadata: {},
  ...change,
})

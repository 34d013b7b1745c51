// Rows for the machines' tests.

import type { Pod } from '@rdev/shared/domain/pod'
import type { Task, TaskSpec } from '@rdev/shared/domain/task'

export const aTaskId = (n: number): string => `task_${String(n).padStart(26, '0')}`

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
  env: {},
  timeout_s: 60,
  queue_ttl_s: null,
  idle_timeout_s: null,
  priority: 100,
  retry: { max_attempts: 1, on: [] },
  target: 'project',
  deltas: false,
  labels: {},
  metadata: {},
  ...change,
})

export const aTask = (change: Partial<Task> = {}): Task => ({
  id: aTaskId(1),
  spec: aSpec(),
  status: 'queued',
  attempt: 0,
  lane: 'demo',
  run_after: 0,
  queue_deadline_at: null,
  cluster_id: 'home',
  pod: null,
  lease_until: null,
  claim_id: null,
  cancel_requested_at: null,
  created_by: 'key_1',
  created_at: 0,
  started_at: null,
  finished_at: null,
  exit_code: null,
  result: null,
  error_code: null,
  error: null,
  usage: null,
  cost_usd: null,
  ...change,
})

export const aPod = (change: Partial<Pod> = {}): Pod => ({
  name: 'pod-1',
  uid: 'uid-1',
  role: 'project',
  project_id: 'demo',
  ready: true,
  slots: 2,
  providers: ['claude-code'],
  allow_bypass_permissions: false,
  ...change,
})

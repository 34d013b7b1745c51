// Rows for the machines' tests.

import type { Pod } from '@rdev/shared/domain/pod'
import type { Task } from '@rdev/shared/domain/task'
import { aSpec } from '../testing/spec.ts'

export { aSpec }

export const aTaskId = (n: number): string => `task_${String(n).padStart(26, '0')}`

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
  pod_uid: null,
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
  denied_tools: null,
  retry_of: null,
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

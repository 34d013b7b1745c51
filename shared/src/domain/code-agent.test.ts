import { expect, test } from 'vitest'
import type { Assignment } from './attempt.ts'
import { agentRequestOf } from './code-agent.ts'

const assignment: Assignment = {
  task_id: 'task_1',
  attempt: 1,
  pod: 'demo-0',
  pod_uid: 'uid',
  provider_session_id: null,
  token: 'secret',
  kind: 'agent',
  project_id: 'demo',
  provider: 'opencode',
  prompt: 'x',
  command: null,
  session_id: 'ses_1',
  model: null,
  allowed_tools: null,
  permission_mode: 'plan',
  working_dir: 'src',
  workspace: 'main',
  env: { A: 'b' },
  timeout_s: 60,
  idle_timeout_s: 5,
  deltas: false,
  fail_on_denied: false,
}

test('a code agent gets its attempt’s fields, without nulls and without the runner’s fields', () => {
  const asked = { provider: 'opencode', prompt: 'x', permission_mode: 'plan', timeout_s: 60, idle_timeout_s: 5, deltas: false }
  expect(agentRequestOf(assignment, 'opencode')).toStrictEqual(asked)
})

test('a continued conversation has its provider id', () => {
  expect(agentRequestOf({ ...assignment, provider_session_id: 'conversation' }, 'opencode').provider_session_id).toBe('conversation')
})

import { createTaskSchema, toAskedTask } from '@rdev/shared/api/tasks'
import type { CreateTask } from '@rdev/shared/api/tasks'
import type { AskedTask } from '@rdev/shared/domain/task'
import { expect, expectTypeOf, test } from 'vitest'
import { aSpec } from '../testing/spec.ts'

const bodies = [
  { kind: 'agent', project_id: 'demo', prompt: 'x' },
  { kind: 'shell', project_id: 'demo', command: 'true' },
  { kind: 'git', project_id: 'demo', command: ['status'] },
]

test.each(bodies)('a minimal body of kind $kind makes a spec with every field', (body) => {
  const spec = toAskedTask(createTaskSchema.parse(body))
  expect(Object.keys(spec).sort()).toEqual(Object.keys(aSpec()).sort())
  expect(spec).toMatchObject({ idle_timeout_s: null, permission_mode: null, run_after: null, workspace: undefined, timeout_s: 3600 })
})

test('what is asked for is kept as it is; instants become numbers', () => {
  const asked = { working_dir: 'src', workspace: null, queue_ttl_s: 9, idle_timeout_s: 7, labels: { a: 'b' }, model: 'm', deltas: true }
  const spec = toAskedTask(createTaskSchema.parse({ ...bodies[0], ...asked, run_after: '2026-11-23T08:00:00.000Z' }))
  expect(spec).toMatchObject({ ...asked, prompt: 'x', command: null, provider: 'claude-code', run_after: Date.UTC(2026, 10, 23, 8) })
})

test('a body has no field that a spec lacks', () => {
  type Fields<Body> = Body extends object ? keyof Body : never
  expectTypeOf<Fields<CreateTask>>().toExtend<keyof AskedTask>()
})

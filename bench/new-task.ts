import { randomBytes } from 'node:crypto'
import { newId } from '@rdev/shared/domain/ids'
import type { TaskSpec } from '@rdev/shared/domain/task'
import type { NewTask } from '../control-plane/src/ports/task-store.ts'
import { aSpec } from '../control-plane/src/testing/spec.ts'

export const newTask = (spec: Partial<TaskSpec> = {}): NewTask => ({
  id: newId('task', Date.now(), randomBytes(10)),
  spec: aSpec(spec),
  actor: { key_id: 'key_bench', project_ids: null, request_id: 'req_bench' },
  created_at: Date.now(),
  new_session: false,
  retry_of: null,
})

import type { CreateTask } from '@rdev/shared/api/tasks'
import { unaskedSpec } from '@rdev/shared/domain/task'
import type { AskedTask } from '../usecases/create-task.ts'

/**
 * Makes a spec from a valid body: every field is set, null where the body has none. A missing workspace is chosen later. A body comes from
 * JSON, so a field that is present has a value.
 */
export function toAskedTask({ run_after, ...body }: CreateTask): AskedTask {
  return { ...unaskedSpec, workspace: undefined, ...body, run_after: run_after === undefined ? null : Date.parse(run_after) }
}

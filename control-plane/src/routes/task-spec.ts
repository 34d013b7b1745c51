import type { CreateTask } from '@rdev/shared/api/tasks'
import { unaskedSpec } from '@rdev/shared/domain/task'
import type { AskedTask } from '../usecases/create-task.ts'

/**
 * From a valid body to what is kept: every field there, null where nothing was asked for; a workspace left out is settled later. A body
 * comes from JSON, so that a field is there with a value or not at all.
 */
export function toAskedTask({ run_after, ...body }: CreateTask): AskedTask {
  return { ...unaskedSpec, workspace: undefined, ...body, run_after: run_after === undefined ? null : Date.parse(run_after) }
}

import type { TaskBatchView } from '@rdev/shared/api/batch'
import * as operations from '@rdev/shared/api/operations/tasks'
import { createTaskSchema, toAskedTask } from '@rdev/shared/api/tasks'
import { DomainError, errorCodes } from '@rdev/shared/domain/errors'
import type { AskedTask } from '@rdev/shared/domain/task'
import { Hono } from 'hono'
import { handle } from '../middleware/endpoint.ts'
import type { AppEnv } from '../middleware/env.ts'
import { toProblem } from '../middleware/problem.ts'
import { batchBudget, bodyBudget, outOfBudget } from '../middleware/json-budget.ts'
import type { JsonBudget } from '../middleware/json-budget.ts'
import { checkBody } from '../middleware/validation.ts'
import type { Deps } from '../ports/deps.ts'
import { createTasks } from '../usecases/create-task.ts'
import { laterOf } from './later.ts'
import { toTaskView } from './views.ts'

export function taskBatch(deps: Deps): Hono<AppEnv> {
  const app = new Hono<AppEnv>()

  handle(app, operations.createTasks, async (c) => {
    const left = batchBudget()
    const read = c.req.valid('json').tasks.map((value, i) => readTask(value, i, left))
    const asked = read.filter((one): one is AskedTask => !(one instanceof DomainError))
    const made = (await createTasks({ ...deps, ...c.var.making }, c.var.actor, asked, laterOf(c))).values()
    const results = read.map((one, i): TaskBatchView['results'][number] => {
      const end = one instanceof DomainError ? one : made.next().value!
      if (!(end instanceof DomainError)) return { status: 202, task: toTaskView(end) }
      return { status: errorCodes[end.code].status, problem: toProblem(within(end, one, i), c.var.requestId) }
    })
    return c.json({ results })
  })

  return app
}

function readTask(value: unknown, i: number, left: JsonBudget): AskedTask | DomainError {
  const wrong = outOfBudget(value, ['tasks', i], bodyBudget(), left)
  if (wrong) return wrong
  const checked = checkBody(createTaskSchema, value, ['tasks', i])
  return checked instanceof DomainError ? checked : toAskedTask(checked.data)
}

/** Prefixes the fields of a refusal with the task's index, because a rule's pointers begin at its task. */
function within(error: DomainError, read: AskedTask | DomainError, i: number): DomainError {
  if (error === read) return error
  const fields = error.fields.map(({ pointer = '', ...field }) => ({ ...field, pointer: `/tasks/${i}${pointer}` }))
  return new DomainError(error.code, error.message, { fields })
}

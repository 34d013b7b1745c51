// Every statement that ends tasks must be made by `endTasks`, so that what it writes with an end is written with every end.
import { cancel, outcome } from '@rdev/shared/domain/task'
import type { SQL } from 'drizzle-orm'
import { PgDialect } from 'drizzle-orm/pg-core'
import { expect, test } from 'vitest'
import { aTask } from '../../objects/machine-fixtures.ts'
import { failMissingPodsStatement } from './missing-pods.ts'
import { changedColumns, unmoved } from './tasks.ts'
import { endChanged, expireStatement, finishStatement } from './task-statements.ts'

const sqlOf = (statement: SQL) => new PgDialect().sqlToQuery(statement).sql.replace(/\s+/g, ' ')
const before = aTask()
const cancelled = cancel(before, 1_000)

test.each([
  ['finish', finishStatement({ task_id: 'task_1', attempt: 1 }, outcome('succeeded'), null, 0)],
  ['finish, or another attempt', finishStatement({ task_id: 'task_1', attempt: 1 }, outcome('failed'), 5, 0)],
  ['expire', expireStatement('home')],
  ['fail what is bound to missing pods', failMissingPodsStatement('home', ['gone'])],
  ['cancel while queued', endChanged(cancelled, changedColumns(before, cancelled)!, unmoved(before, 't'))],
])('%s writes the rows in `ended`, and answers these', (_, statement) => {
  const text = sqlOf(statement)
  expect(text).toMatch(
    /\bended as \( update tasks t set lease_until = null, turn = .* finished_at = .* returning .*\) ?.* select \* from ended order by id$/,
  )
  expect(text.match(/update tasks/g)).toHaveLength(1)
})

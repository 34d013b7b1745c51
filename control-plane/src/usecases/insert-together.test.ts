import { DomainError } from '@rdev/shared/domain/errors'
import { expect, test } from 'vitest'
import type { Inserted, NewTask } from '../ports/task-store.ts'
import { anActor } from '../testing/actor.ts'
import { aSpec } from '../testing/spec.ts'
import { insertTogether } from './insert-together.ts'

/** A store whose statements end when the test says so; it refuses tasks of project `nowhere`, and breaks at any of project `broken`. */
function setup() {
  const statements: { readonly ids: string[]; end(): void; fail(cause: unknown): void }[] = []
  const insert = insertTogether(async (tasks) => {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    statements.push({ ids: tasks.map(({ id }) => id), end: resolve, fail: reject })
    await promise
    if (tasks.some(({ spec }) => spec.project_id === 'broken')) throw new Error('the store is confused by a task')
    return tasks.map(({ id, spec }): Inserted =>
      spec.project_id === 'nowhere'
        ? { refused: 'no_project' }
        : { task: { id } as Extract<Inserted, { task: unknown }>['task'], repeated: false },
    )
  })
  let serial = 0
  const one = (project_id = 'demo', more: { prompt?: string } = {}): NewTask => ({
    id: `task_${++serial}`,
    spec: aSpec({ project_id, ...more }),
    actor: anActor(),
    created_at: 0,
    new_session: false,
    retry_of: null,
  })
  const answer = async (inserted: Promise<readonly Inserted[]>) =>
    (await inserted).map((each) => ('refused' in each ? each.refused : each.task.id))
  /** Until so many statements were asked. */
  const asked = async (count: number) => {
    while (statements.length < count) await Promise.resolve()
  }
  /** Keeps both statements that may run at once busy. */
  const busy = async () => {
    const first = insert([one()])
    await asked(1)
    const second = insert([one()])
    await asked(2)
    return Promise.all([first, second])
  }
  return { statements, insert, one, answer, asked, busy }
}

test('a single caller waits for no other', async () => {
  const { statements, insert, one, answer, asked } = setup()
  const inserted = insert([one()])
  await asked(1)
  statements[0]!.end()
  expect(await answer(inserted)).toEqual(['task_1'])
})

test('inserts that come while statements run go together, and each caller gets its own answer', async () => {
  const { statements, insert, one, answer, asked, busy } = setup()
  const both = busy()
  await asked(2)
  const waiting = [insert([one()]), insert([one('nowhere')]), insert([one(), one()])]
  statements[0]!.end()
  await asked(3)
  expect(statements[2]!.ids).toEqual(['task_3', 'task_4', 'task_5', 'task_6'])
  statements[1]!.end()
  statements[2]!.end()
  await both
  expect(await Promise.all(waiting.map(answer))).toEqual([['task_3'], ['no_project'], ['task_5', 'task_6']])
})

test('a task that the store cannot take fails only its own caller', async () => {
  const { statements, insert, one, answer, asked, busy } = setup()
  const both = busy()
  await asked(2)
  const good = [insert([one()]), insert([one()])]
  const bad = insert([one('broken')])
  const why = expect(bad).rejects.toThrow('confused')
  statements[0]!.end()
  statements[1]!.end()
  await both
  for (let next = 2; next < 6; next++) {
    await asked(next + 1)
    statements[next]!.end()
  }
  expect(await Promise.all(good.map(answer))).toEqual([['task_3'], ['task_4']])
  await why
  // Together first, then one statement for each.
  expect(statements.slice(2).map(({ ids }) => ids.length)).toEqual([3, 1, 1, 1])
})

test('a store that is away is asked once for all', async () => {
  const { statements, insert, one, asked, busy } = setup()
  const both = busy()
  await asked(2)
  const waiting = [insert([one()]), insert([one()])].map((inserted) => expect(inserted).rejects.toThrow('away'))
  statements[0]!.end()
  statements[1]!.end()
  await both
  await asked(3)
  statements[2]!.fail(new DomainError('SERVICE_UNAVAILABLE', 'away'))
  await Promise.all(waiting)
  expect(statements).toHaveLength(3)
})

test('more tasks than a statement may hold go in several', async () => {
  const { statements, insert, one, asked, busy } = setup()
  const both = busy()
  await asked(2)
  const waiting = [...Array(501).keys()].map(() => insert([one()]))
  const large = [insert([one('demo', { prompt: 'x'.repeat(3_000_000) })]), insert([one('demo', { prompt: 'x'.repeat(3_000_000) })])]
  for (let next = 0; next < 5; next++) {
    await asked(next + 1)
    statements[next]!.end()
  }
  await both
  await Promise.all([...waiting, ...large])
  expect(statements.slice(2).map(({ ids }) => ids.length)).toEqual([500, 2, 1])
})

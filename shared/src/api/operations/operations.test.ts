import { describe, expect, expectTypeOf, test } from 'vitest'
import type { z } from 'zod'
import type { BodyOf, Operation, QueryOf } from '../operation.ts'
import { defineOperation } from '../operation.ts'
import type { CreateTask } from '../tasks.ts'
import * as connections from './connections.ts'
import * as fleet from './fleet.ts'
import * as keys from './keys.ts'
import type { OperationId, Operations } from './operations.ts'
import { operations } from './operations.ts'
import * as projects from './projects.ts'
import * as queue from './queue.ts'
import * as service from './service.ts'
import * as sessions from './sessions.ts'
import * as shortForms from './short-forms.ts'
import * as tasks from './tasks.ts'

const defined = { ...connections, ...fleet, ...keys, ...projects, ...queue, ...service, ...sessions, ...shortForms, ...tasks }
const all: readonly Operation[] = operations

/** Every name of a property anywhere in a schema. */
function propertiesOf(schema: z.ZodType | undefined): string[] {
  const namesIn = (value: unknown): string[] =>
    typeof value !== 'object' || value === null
      ? []
      : Object.entries(value).flatMap(([key, item]) => [...(key === 'properties' ? Object.keys(item as object) : []), ...namesIn(item)])
  return namesIn(schema?.toJSONSchema({ io: 'input' }))
}

test('every operation that is defined is in the list once, under its own id', () => {
  expect(Object.entries(defined).map(([name, { id }]) => [name, id])).toEqual(Object.keys(defined).map((name) => [name, name]))
  expect(all.map(({ id }) => id).sort()).toEqual(Object.keys(defined).sort())
  expect(new Set(all.map(({ method, path }) => `${method} ${path}`)).size).toBe(all.length)
})

describe.each(all.map((operation) => [operation.id, operation] as const))('%s', (id, operation) => {
  test('has an id and a path in the usual form', () => {
    expect(id).toMatch(/^(create|retry|run|list|get|update|pause|resume|cancel|revoke|delete|connect)([A-Z][a-z]+)+$/)
    expect(operation.path).toMatch(/^(\/v1(\/([a-z]+|:[a-z]+))+|\/(health|ready|docs|openapi\.json))$/)
  })

  test('names what it changes, or changes nothing', () => {
    const reads = operation.method === 'GET'
    if (reads) expect(operation.audit).toBeNull()
    else expect(operation.audit).toMatch(/^[a-z]+(_[a-z]+)*\.[a-z]+$/)
  })

  test('has a schema for each parameter of its path, and no other', () => {
    const inPath = [...operation.path.matchAll(/:(\w+)/g)].map((match) => match[1])
    expect(Object.keys(operation.params ?? {})).toEqual(inPath)
  })

  test('has what its project rule needs', () => {
    const { project, scope, params = {}, body } = operation
    if (scope === 'public') expect(project).toBe('none')
    if (['path.id', 'task', 'session', 'key', 'cluster'].includes(project)) expect(params).toHaveProperty('id')
    if (project.startsWith('body.')) expect(propertiesOf(body)).toContain(project.slice('body.'.length))
    if (operation.ticket) expect([project, operation.query]).toEqual(['task', expect.anything()])
  })
})

test('types alone are enough for a client', () => {
  expectTypeOf<OperationId>().toExtend<string>()
  expectTypeOf<Operations['getTask']['path']>().toEqualTypeOf<'/v1/tasks/:id'>()
  expectTypeOf<Operations['cancelTask']['method']>().toEqualTypeOf<'POST'>()
  expectTypeOf<BodyOf<Operations['createTask']>>().toEqualTypeOf<CreateTask>()
  expectTypeOf<QueryOf<Operations['getTask']>>().toEqualTypeOf<{ wait_s?: number | undefined }>()
  expectTypeOf<QueryOf<Operations['createTask']>>().toBeNever()
})

test('a change without an audit name and a misspelt field do not compile', () => {
  const { audit: _, ...nameless } = tasks.cancelTask
  // @ts-expect-error A state-changing operation names its change.
  defineOperation(nameless)
  // @ts-expect-error The field is called `idempotent`.
  defineOperation({ ...tasks.cancelTask, idempotnt: true })
})

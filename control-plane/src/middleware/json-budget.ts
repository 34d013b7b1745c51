// What a value from JSON may be before any schema sees it, found out in one walk. The bounds are in the walk and not in schemas, because a schema
// costs up to 50 times as much per value, and more for a wrong one: 1.2 MB of numbers that are too large took 11 s of the isolate's one thread.
// A value that passes has nothing that Postgres, files, argv or a schema would drop, change or refuse.

import { DomainError } from '@rdev/shared/domain/errors'

/** What one body may still have. A walk counts down. */
export interface JsonBudget {
  values: number
  names: number
}

/** Above what the schemas allow: 16 KiB of metadata are at most 8,192 values or 2,730 names. */
export const bodyBudget = (): JsonBudget => ({ values: 10_000, names: 3_000 })
/** Of a batch: 200 values for each of its tasks. Each of them has a budget of its own beside it. */
export const batchBudget = (): JsonBudget => ({ values: 100_000, names: 100_000 })

/** Schemas, the database and clients walk a value by recursion; a deeper one could exhaust their stack. */
export const maxDepth = 64
/** A name comes back in pointers of a refusal, so a long one would make the answer as large as the body. */
export const maxNameChars = 1_024

interface Fault {
  readonly message: string
  /** From the fault outwards: the walk adds a name on its way back. */
  readonly path: PropertyKey[]
}

const fault = (message: string): Fault => ({ message, path: [] })

/** Undefined: nothing is wrong. `at` is the value's path inside a larger body; pointers begin with it, and its depth counts. */
export function outOfBudget(value: unknown, at: readonly PropertyKey[] = [], ...budgets: readonly JsonBudget[]): DomainError | undefined {
  const wrong = walk(value, at.length, budgets)
  if (!wrong) return undefined
  const { message, path } = wrong
  return new DomainError('BAD_REQUEST', message, { fields: [{ pointer: pointer([...at, ...path.toReversed()]), message }] })
}

/** The same of a body whose lists are judged item by item later: they are not entered here. */
export function outerOutOfBudget(value: unknown): DomainError | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return outOfBudget(value, [], bodyBudget())
  const withoutLists = Object.entries(value).map(([name, item]) => [name, Array.isArray(item) ? null : (item as unknown)] as const)
  return outOfBudget(Object.fromEntries(withoutLists), [], bodyBudget())
}

function walk(value: unknown, depth: number, budgets: readonly JsonBudget[]): Fault | undefined {
  for (const left of budgets) if (--left.values < 0) return fault('there are too many values in this body')
  switch (typeof value) {
    case 'string':
      return wrongText(value)
    case 'number':
      // JSON has any number, and JSON.parse makes infinity of one that is too large.
      return Number.isFinite(value) ? undefined : fault('must be a number of at most 1.7e308')
    case 'object':
      if (value === null) return undefined
      if (depth >= maxDepth) return fault(`must not be nested more than ${maxDepth} deep`)
      return Array.isArray(value) ? walkItems(value, depth, budgets) : walkMembers(value, depth, budgets)
    default:
      return undefined
  }
}

function walkItems(items: readonly unknown[], depth: number, budgets: readonly JsonBudget[]): Fault | undefined {
  for (let i = 0; i < items.length; i++) {
    const wrong = walk(items[i], depth + 1, budgets)
    if (wrong) return within(wrong, i)
  }
  return undefined
}

function walkMembers(object: object, depth: number, budgets: readonly JsonBudget[]): Fault | undefined {
  for (const name of Object.keys(object)) {
    for (const left of budgets) if (--left.names < 0) return fault('there are too many names in this body')
    const wrongName = nameFault(name)
    if (wrongName) return wrongName
    const wrong = walk((object as Readonly<Record<string, unknown>>)[name], depth + 1, budgets)
    if (wrong) return within(wrong, name)
  }
  return undefined
}

function within(wrong: Fault, name: PropertyKey): Fault {
  wrong.path.push(name)
  return wrong
}

/** A fault of the object that has this name, or of the member itself. */
function nameFault(name: string): Fault | undefined {
  if (name.length > maxNameChars) return fault(`has a name of more than ${maxNameChars} characters`)
  // Assigned to an object it would change that object's prototype, so schemas and libraries drop it in silence.
  if (name === '__proto__') return within(fault('must not be named __proto__'), name)
  const wrong = wrongText(name)
  return wrong && within(wrong, name)
}

/** NUL and lone surrogates: legal in JSON, refused by Postgres, files and argv. */
const wrongText = (text: string): Fault | undefined =>
  text.includes('\u0000') || !text.isWellFormed() ? fault('must not contain NUL characters or lone surrogates') : undefined

/** RFC 6901. */
export const pointer = (path: readonly PropertyKey[]): string =>
  path.map((part) => `/${String(part).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('')

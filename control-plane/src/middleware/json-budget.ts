// What a body may hold before anything is done with it: its text before it is parsed, its values before any schema, each in one walk. The bounds
// are not in schemas, because a schema costs up to 50 times as much per value, and more for a wrong one: 1.2 MB of numbers that are too large took
// 11 s of the isolate's one thread. A value that passes has nothing that Postgres, files, argv or a schema would drop, change or refuse.

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
/** Of a batch's text, which has more than its tasks; above it the whole batch is refused, and not only the tasks that are too much. */
export const batchTextBudget = (): JsonBudget => ({ values: 200_000, names: 200_000 })

/** Schemas, the database and clients walk a value by recursion; a deeper one could exhaust their stack. */
export const maxDepth = 64
/** A name comes back in pointers of a refusal, so a long one would make the answer as large as the body. */
export const maxNameChars = 1_024

/** How deep a text may be nested to be parsed at all. Less than this is told with the place of what is too deep, after parsing. */
const maxTextDepth = 512

/**
 * Judges a text before it is parsed: 2 MB with one object of 180,000 names take JSON.parse 200 ms, a list that is a million deep as much. Counts
 * commas and colons outside of strings, which takes a hundredth of that. What is no JSON passes, because parsing it says so.
 */
export function textOutOfBudget(text: string, { values, names }: JsonBudget): DomainError | undefined {
  const refused = (message: string) => new DomainError('BAD_REQUEST', message, { fields: [{ pointer: '', message }] })
  /** Of each list and object that is open: how many names it has. */
  const open: number[] = [0]
  for (let i = 0; i < text.length; i++) {
    switch (text.charCodeAt(i)) {
      case quote:
        i = endOfString(text, i)
        if (i < 0) return undefined
        break
      case openList:
      case openObject:
        if (open.push(0) > maxTextDepth) return refused(tooDeep)
        break
      case closeList:
      case closeObject:
        if (open.length > 1) open.pop()
        break
      case comma:
        if (--values < 0) return refused(tooManyValues)
        break
      case colon:
        open[open.length - 1]!++
        if (--names < 0 || open.at(-1)! > maxNamesOfObject) return refused(tooManyNames)
    }
  }
  return undefined
}

const [quote, comma, colon, backslash] = [0x22, 0x2c, 0x3a, 0x5c]
const [openList, closeList, openObject, closeObject] = [0x5b, 0x5d, 0x7b, 0x7d]
/** As many as a body without a batch may have. One object of many names costs more than many of few. */
const maxNamesOfObject = 3_000

/** The index of the quote that ends the string that begins at `from`; negative: it has no end. */
function endOfString(text: string, from: number): number {
  for (let at = text.indexOf('"', from + 1); at >= 0; at = text.indexOf('"', at + 1)) {
    let escapes = 0
    while (text.charCodeAt(at - 1 - escapes) === backslash) escapes++
    if (escapes % 2 === 0) return at
  }
  return -1
}

const tooDeep = 'must not be nested so deep'
const tooManyValues = 'there are too many values in this body'
const tooManyNames = 'there are too many names in this body'

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
  for (const left of budgets) if (--left.values < 0) return fault(tooManyValues)
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
    for (const left of budgets) if (--left.names < 0) return fault(tooManyNames)
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

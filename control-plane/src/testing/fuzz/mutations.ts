// What is done to a valid value, and texts that are no value at all. They are aimed at our own guards: sizes, depths, names, numbers, characters.

import * as fc from 'fast-check'

/** A text that stands for JSON that JSON.stringify would not write. */
const written: Readonly<Record<string, string>> = {
  '"@huge"': '1e400',
  '"@minus-huge"': '-1e400',
  '"@zero"': '-0',
  '"@precise"': '0.1000000000000000055511151231257827',
  '"@long"': '123456789012345678901234567890',
  '"@proto"': '"__proto__"',
  '"@again"': '"kind"',
}
/** JSON of a value with those texts replaced. */
export function toBody(value: unknown): string {
  let text = JSON.stringify(value) ?? 'null'
  for (const [from, to] of Object.entries(written)) text = text.replaceAll(from, to)
  return text
}

const deep = (depth: number): unknown => JSON.parse('['.repeat(depth) + ']'.repeat(depth))

const oddValues = fc.oneof(
  fc.constantFrom<unknown>(
    null,
    true,
    0,
    -1,
    1.5,
    2 ** 53,
    -(2 ** 31) - 1,
    '',
    ' ',
    '@huge',
    '@minus-huge',
    '@zero',
    '@precise',
    '@long',
    [],
    {},
  ),
  fc.constantFrom(
    '\u0000',
    'a\u0000b',
    '\ud800',
    '\udc00x',
    '\u202e',
    '../../x',
    '/etc',
    '@session',
    'demo',
    'x'.repeat(5_000),
    '\u001b[31m',
    '🙂',
  ),
  fc.constantFrom('0', '0x10', '1e3', '2026-02-30T00:00:00Z', '9999-12-31T23:59:59.999Z', '-000001-01-01T00:00:00.000Z', 'constructor'),
  fc.integer({ min: 1, max: 200 }).map(deep),
  fc.integer({ min: 1, max: 3_000 }).map((count) => Array.from({ length: count }, () => 0)),
  fc.integer({ min: 1, max: 3_000 }).map((count) => Object.fromEntries(Array.from({ length: count }, (_, i) => [`n ${i}`, i]))),
  fc.constantFrom<unknown>({ '@proto': { x: 1 } }, { constructor: 1 }, { toString: 'x' }, [{ '@proto': null }]),
  fc.jsonValue({ maxDepth: 4 }),
)
const oddNames = fc.oneof(
  fc.constantFrom('@proto', '@again', 'constructor', '', ' ', 'a/b~c', '\u0000', '\ud800', 'x'.repeat(2_000), 'RDEV_X', 'PATH'),
  fc.string({ maxLength: 20 }),
)

export interface Mutation {
  /** Chooses one of the value's members, counted through the whole tree. */
  readonly at: number
  readonly what: 'remove' | 'replace' | 'add' | 'rename' | 'repeat'
  readonly name: string
  readonly value: unknown
}
export const mutations: fc.Arbitrary<Mutation[]> = fc.array(
  fc.record({
    at: fc.nat(200),
    what: fc.constantFrom('remove', 'replace', 'replace', 'add', 'rename', 'repeat'),
    name: oddNames,
    value: oddValues,
  }),
  { minLength: 1, maxLength: 3 },
)

type Members = Record<string, unknown>
const isContainer = (value: unknown): value is Members => typeof value === 'object' && value !== null

/** A copy with the mutations applied, one after the other. */
export function mutated(value: unknown, list: readonly Mutation[]): unknown {
  const root = [structuredClone(value)]
  for (const mutation of list) mutate(root, mutation)
  return root[0]
}

function mutate(root: unknown[], { at, what, name, value: drawn }: Mutation): void {
  const value = structuredClone(drawn)
  const members: [Members, string][] = []
  const walk = (container: Members, depth: number) => {
    for (const key of Object.keys(container)) {
      if (members.length > 2_000 || depth > 20) return
      members.push([container, key])
      const item = container[key]
      if (isContainer(item)) walk(item, depth + 1)
    }
  }
  // A list is its members by number.
  const top = root as unknown as Members
  walk(top, 0)
  const [here, key] = members[at % members.length]!
  const item = here[key]
  switch (what) {
    case 'remove':
      if (here !== top) delete here[key]
      return
    case 'replace':
      here[key] = value
      return
    case 'add':
      if (Array.isArray(item)) item.push(value)
      else if (isContainer(item)) item[name] = value
      else here[key] = [item, value]
      return
    case 'rename':
      if (here === top) return
      delete here[key]
      here[name] = item
      return
    case 'repeat':
      here[key] = Array.from({ length: 1 + (at % 12) }, () => item)
  }
}

/** Texts and bytes that no client would send. */
export const rawBodies: fc.Arbitrary<string | Uint8Array> = fc.oneof(
  fc.json({ maxDepth: 6 }),
  fc.string({ maxLength: 100, unit: 'binary' }),
  fc.uint8Array({ maxLength: 100 }),
  fc.constantFrom(
    '',
    'null',
    '[]',
    '{}',
    '""',
    '0',
    '{"',
    '{"a":1,}',
    '\ufeff{}',
    'NaN',
    '{"a":1}{"a":1}',
    "{'a':1}",
    '\u0000',
    'undefined',
  ),
  fc.integer({ min: 1, max: 100_000 }).map((depth) => '['.repeat(depth)),
  fc.integer({ min: 1, max: 50_000 }).map((depth) => `${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`),
  fc.integer({ min: 1, max: 200_000 }).map((count) => `{"metadata":{"a":[${'1e400,'.repeat(count)}0]}}`),
  fc.integer({ min: 1, max: 150_000 }).map((count) => `{${Array.from({ length: count }, (_, i) => `"k${i}":1`).join(',')}}`),
  fc.integer({ min: 1_900_000, max: 4_300_000 }).map((length) => ' '.repeat(length)),
)

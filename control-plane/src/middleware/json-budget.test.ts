import { scopes } from '@rdev/shared/domain/api-key'
import type { Problem } from '@rdev/shared/api/problem'
import { expect, test } from 'vitest'
import { setup as setupApi } from '../testing/setup.ts'
import { bodyBudget, maxDepth, maxNameChars, outOfBudget, textOutOfBudget } from './json-budget.ts'

async function setup() {
  const api = await setupApi()
  /** The body is a text: what JSON.stringify would not write is what these tests are about. */
  const refusal = async (path: string, body: string) => {
    const response = await api.call('POST', path, { body })
    const { detail = '', errors = [] } = await response.json<Partial<Problem>>()
    return { status: response.status, detail, pointers: errors.map(({ pointer }) => pointer) }
  }
  const task = (more: string) => `{"kind":"shell","project_id":"demo","command":"true",${more}}`
  return { ...api, refusal, task }
}
const times = (count: number, item: string | ((i: number) => string)) =>
  Array.from({ length: count }, (_, i) => (typeof item === 'string' ? item : item(i))).join(',')
const schemaCalls = (value: unknown) => outOfBudget(value, [], bodyBudget())?.message

test('a number that no double holds is refused before any schema, as the first of many', async () => {
  const { refusal, task } = await setup()
  const { status, pointers } = await refusal('/v1/tasks', task(`"metadata":{"a":[${times(200_000, '1e400')}]}`))
  // So many are refused before they are parsed; of fewer the first is named.
  expect([status, pointers]).toEqual([400, ['']])
  expect((await refusal('/v1/tasks', task(`"metadata":{"a":[${times(9_000, '1e400')}]}`))).pointers).toEqual(['/metadata/a/0'])
})

test('values and names have a number at which the walk stops', () => {
  expect(schemaCalls(Array.from({ length: 9_999 }, () => 0))).toBeUndefined()
  expect(schemaCalls(Array.from({ length: 10_000 }, () => 0))).toBe('there are too many values in this body')
  const named = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, i) => [`n${i}`, 0]))
  expect(schemaCalls(named(3_000))).toBeUndefined()
  expect(schemaCalls({ a: named(1_500), b: named(1_500) })).toBe('there are too many names in this body')
  expect(schemaCalls({ a: { ['x'.repeat(maxNameChars)]: 1 } })).toBeUndefined()
  expect(outOfBudget({ a: { ['x'.repeat(maxNameChars + 1)]: 1 } }, [], bodyBudget())?.fields[0]?.pointer).toBe('/a')
})

test('what the schemas allow fits: 16 KiB of metadata in the smallest values and names', async () => {
  const { call, task } = await setup()
  for (const metadata of [`{"a":[${times(8_180, '0')}]}`, `{${times(1_700, (i) => `"${i.toString(36)}":0`)}}`]) {
    expect(metadata.length).toBeLessThanOrEqual(16_384)
    expect((await call('POST', '/v1/tasks', { body: task(`"metadata":${metadata}`) })).status).toBe(202)
  }
})

test('the depth counts from the whole body', () => {
  const nested = (depth: number): unknown => JSON.parse('['.repeat(depth) + ']'.repeat(depth))
  expect(outOfBudget(nested(maxDepth))).toBeUndefined()
  expect(outOfBudget(nested(maxDepth + 1))?.fields[0]?.pointer).toBe('/0'.repeat(maxDepth))
  expect(outOfBudget(nested(maxDepth), ['tasks', 0])?.fields[0]?.pointer).toBe(`/tasks/0${'/0'.repeat(maxDepth - 2)}`)
})

test.each([
  ['labels', '"labels":{"__proto__":"x"}', '/labels/__proto__'],
  ['env', '"env":{"__proto__":"x"}', '/env/__proto__'],
  ['metadata', '"metadata":{"a":[{"__proto__":{"b":1}}]}', '/metadata/a/0/__proto__'],
  ['the body', '"__proto__":{"priority":1}', '/__proto__'],
])('a member named __proto__ in %s is refused, not dropped', async (_, more, pointer) => {
  const { refusal, task } = await setup()
  expect(await refusal('/v1/tasks', task(more))).toEqual({ status: 400, detail: 'must not be named __proto__', pointers: [pointer] })
})

test('each task of a batch has its own budget, and all have one together', async () => {
  const { call, task, refusal } = await setup()
  const batch = async (...tasks: string[]) => {
    const response = await call('POST', '/v1/tasks/batch', { body: `{"tasks":[${tasks.join(',')}]}` })
    return (await response.json<{ results: { status: number; problem?: Problem }[] }>()).results
  }
  const heavy = task(`"metadata":{"a":[${times(8_000, '0')}]}`)
  const light = task('"priority":1')
  expect((await batch(light, task(`"metadata":{"a":[${times(10_000, '0')}]}`), light)).map(({ status }) => status)).toEqual([202, 400, 202])
  const many = await batch(...Array.from({ length: 13 }, () => heavy), light)
  expect(many.map(({ status }) => status)).toEqual([...Array.from({ length: 12 }, () => 202), 400, 400])
  expect(many[12]?.problem?.detail).toBe('there are too many values in this body')
  expect((await refusal('/v1/tasks/batch', `{"tasks":[],"__proto__":1}`)).pointers).toEqual(['/__proto__'])
  expect((await refusal('/v1/tasks/batch', `{"tasks":[${light}],${times(5_000, (i) => `"n${i}":0`)}}`)).status).toBe(400)
})

test('a schema stops at what there is too many of, and a refusal has at most 50 fields', async () => {
  const { refusal, task } = await setup()
  const wrongNames = times(2_500, (i) => `"a b${i}":1`)
  expect(await refusal('/v1/tasks', task(`"labels":{${wrongNames}}`))).toMatchObject({
    detail: 'labels: at most 32 labels',
    pointers: ['/labels'],
  })
  expect(await refusal('/v1/tasks', task(`"env":{${wrongNames}}`))).toMatchObject({
    detail: 'env: at most 100 variables',
    pointers: ['/env'],
  })
  expect((await refusal('/v1/tasks', task(`"retry":{"on":[${times(9_000, '"x"')}]}`))).pointers.length).toBeLessThanOrEqual(50)
  expect((await refusal('/v1/keys', `{"name":"x","scopes":[${times(9_000, JSON.stringify(scopes[0]))}]}`)).pointers).toEqual(['/scopes'])
  expect((await refusal('/v1/tasks', task(times(2_900, (i) => `"n${i}":0`)))).pointers).toHaveLength(50)
})

test('a text with too much in it is refused before it is parsed', () => {
  const budget = { values: 100, names: 50 }
  const judged = (text: string) => textOutOfBudget(text, budget)?.message
  const names = (count: number) => `{${times(count, (i) => `"k${i}":1`)}}`
  expect(judged(`[${times(101, '1')}]`)).toBeUndefined()
  expect(judged(`[${times(102, '1')}]`)).toMatch(/too many values/)
  expect(judged(names(50))).toBeUndefined()
  expect(judged(names(51))).toMatch(/too many names/)
  expect(textOutOfBudget(names(3_001), { values: 1e9, names: 1e9 })?.message).toMatch(/too many names/)
  expect(textOutOfBudget(`[${times(3, () => names(2_000))}]`, { values: 1e9, names: 1e9 })).toBeUndefined()
  expect(judged('['.repeat(500) + ']'.repeat(500))).toBeUndefined()
  expect(judged('['.repeat(1_000_000))).toMatch(/deep/)
})

test('what stands in strings does not count, wherever they end', () => {
  const budget = { values: 5, names: 5 }
  for (const text of [',:[{'.repeat(1_000), '\\'.repeat(999), `${'\\"'.repeat(500)},,,,,,,`, '\\"', '"'.repeat(500), ',\\'.repeat(300)]) {
    const json = JSON.stringify({ a: text, b: [text] })
    expect(textOutOfBudget(json, budget)).toBeUndefined()
  }
  // No JSON: parsing says so.
  expect(textOutOfBudget('{"a', budget)).toBeUndefined()
  expect(textOutOfBudget(']]]]}}}}', budget)).toBeUndefined()
})

import { describe, expect, test } from 'vitest'
import type { EventData } from './event.ts'
import { joinData, splitData } from './event-parts.ts'
import { maxDataBytes } from './limits.ts'
import { jsonTextBytes, jsonTextEnd, utf8Length } from './text.ts'

const bytes = (value: unknown) => utf8Length(JSON.stringify(value))
const characters = ['a', '"', '\\', '\n', '\u001b', '\u0000', 'é', '€', '🙂', '\ud83d', '\udc00', '\u2028', '\u007f']
/** Every kind of character, so that a cut falls on each of them. */
const mixed = (length: number, shift = 0) => Array.from({ length }, (_, i) => characters[(i * 7 + shift) % characters.length]).join('')

const cases: Readonly<Record<string, EventData>> = {
  output: { stream: 'stderr', text: mixed(200_000) },
  'a tool that writes a file': { tool_id: 't1', name: 'Write', input: { file_path: '/a', content: mixed(150_000), mode: 0o644 } },
  'two long texts': { tool_id: 't1', name: 'Edit', input: { old_string: mixed(60_000), new_string: mixed(70_000, 3), all: false } },
  'texts in lists': { tool_id: 't2', input: { edits: [null, 1, { a: mixed(50_000), b: [] }, { a: mixed(50_000, 5) }, 'short'] }, n: null },
  'long texts at both ends': { z: mixed(70_000), tool_id: 't3', is_error: true, a: mixed(1_000), m: { n: { o: 'x'.repeat(90_000) } } },
  'many small values': { tool_id: 't4', list: Array.from({ length: 30_000 }, (_, i) => i) },
  'a text far down a list': { list: [...Array.from({ length: 9_000 }, () => null), mixed(100_000)] },
  'many texts of middle length': { lines: Array.from({ length: 300 }, (_, i) => mixed(1_000, i)) },
  'names of great length': { ['n'.repeat(70_000)]: 1, text: mixed(90_000) },
  'a text in deep nesting': { deep: JSON.parse('['.repeat(2_000) + JSON.stringify(mixed(100_000)) + ']'.repeat(2_000)) as unknown },
  'a stream of great length': { stream: mixed(70_000), text: 'x' },
}

describe.each(Object.entries(cases))('%s', (_, data) => {
  test('is told in parts that fit a line, are numbered, and join to what it was', () => {
    const parts = splitData(data)
    expect(parts.length).toBeGreaterThan(1)
    for (const part of parts) expect(bytes(part)).toBeLessThanOrEqual(maxDataBytes)
    expect(parts.map(({ part }) => part)).toEqual(parts.map((_, i) => i + 1))
    expect(new Set(parts.map(({ parts }) => parts))).toEqual(new Set([parts.length]))
    // Over a stream and back.
    expect(joinData(JSON.parse(JSON.stringify(parts)) as EventData[])).toEqual(JSON.parse(JSON.stringify(data)))
  })

  test('is split the same way each time, and into no more parts than it needs', () => {
    expect(splitData(data)).toEqual(splitData(data))
    expect(splitData(data).length).toBeLessThanOrEqual(Math.ceil(bytes(data) / (maxDataBytes / 2)) + 1)
  })
})

test('what fits is not touched, to the byte', () => {
  const text = (length: number) => ({ stream: 'stdout', text: 'x'.repeat(length) })
  const most = maxDataBytes - bytes(text(0))
  expect(splitData(text(most))).toEqual([text(most)])
  expect(splitData(text(most + 1))).toHaveLength(2)
  const data = { part: 'of the provider' }
  expect(splitData(data)[0]).toBe(data)
})

test('each part of an output says its stream and has its piece as text, so that a reader of output needs to know nothing of parts', () => {
  const parts = splitData(cases['output']!)
  expect(parts.map(({ stream }) => stream)).toEqual(parts.map(() => 'stderr'))
  expect(parts.map(({ text }) => text as string).join('')).toBe(cases['output']!['text'])
})

test('pieces never cut a character, and their size is that of JSON', () => {
  const text = mixed(500)
  for (let max = 1; max < 60; max++) {
    for (let from = 0; from < text.length;) {
      const to = jsonTextEnd(text, from, max)
      const piece = text.slice(from, to)
      expect(jsonTextBytes(piece)).toBe(bytes(piece) - 2)
      expect(jsonTextBytes(piece) <= max || [...piece].length === 1).toBe(true)
      expect(/^[\udc00-\udfff]/.test(piece) && /[\ud800-\udbff]$/.test(text.slice(0, from))).toBe(false)
      from = to
    }
  }
})

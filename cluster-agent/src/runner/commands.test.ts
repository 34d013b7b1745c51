import { expect, test } from 'vitest'
import { startCursor } from '@rdev/shared/domain/attempt'
import type { Chunk } from '../ports.ts'
import { incompleteTail, maxOutputTextBytes, OutputLines } from './commands.ts'

/** Feeds bytes in pieces and gathers what comes out. */
function setup(cursor = startCursor) {
  const lines = new OutputLines(cursor)
  const at = { stdout: cursor.stdout, stderr: cursor.stderr }
  const told = (found: ReturnType<OutputLines['push']>) =>
    found.map(({ event: { data }, cursor }) => ({ stream: data.stream, text: String(data.text), cursor }))
  return {
    lines,
    push: (text: string | Buffer, stream: 'stdout' | 'stderr' = 'stdout') => {
      const bytes = Buffer.from(text as string)
      const chunk: Chunk = { stream, offset: at[stream], bytes }
      at[stream] += bytes.length
      return told(lines.push(chunk))
    },
    flush: (ended = false) => told(lines.flush(ended)),
  }
}

test('whole lines are emitted at once, together; the rest waits', () => {
  const it = setup()
  expect(it.push('one\ntwo\nthr')).toEqual([{ stream: 'stdout', text: 'one\ntwo\n', cursor: { stdout: 8, stderr: 0 } }])
  expect(it.lines.holds).toBe(true)
  expect(it.push('ee\n')).toEqual([{ stream: 'stdout', text: 'three\n', cursor: { stdout: 14, stderr: 0 } }])
  expect(it.lines.holds).toBe(false)
})

test('an unfinished line is emitted after silence, and its end later', () => {
  const it = setup()
  it.push('prompt> ')
  expect(it.flush()).toMatchObject([{ text: 'prompt> ', cursor: { stdout: 8 } }])
  expect(it.push('yes\n')).toMatchObject([{ text: 'yes\n', cursor: { stdout: 12 } }])
})

test('a character is never divided, wherever the chunk ends', () => {
  const text = 'aé€😀z\n'
  const bytes = Buffer.from(text)
  for (let cut = 1; cut < bytes.length; cut++) {
    const it = setup()
    const parts = [...it.push(bytes.subarray(0, cut)), ...it.flush(), ...it.push(bytes.subarray(cut)), ...it.flush(true)]
    expect(parts.map((part) => part.text).join('')).toBe(text)
  }
})

test('bytes that are not UTF-8 are replaced, also half a character at the very end', () => {
  const it = setup()
  expect(it.push(Buffer.from([0x61, 0xff, 0x0a]))).toMatchObject([{ text: 'a\ufffd\n' }])
  it.push(Buffer.from([0xe2, 0x82]))
  expect(it.flush()).toEqual([])
  expect(it.flush(true)).toMatchObject([{ text: '\ufffd', cursor: { stdout: 5 } }])
})

test('a long line without an end is emitted in pieces of a bounded size, between characters', () => {
  const it = setup()
  const text = '€'.repeat(50_000)
  const parts = [...it.push(text), ...it.flush(true)]
  expect(parts.length).toBeGreaterThan(4)
  for (const part of parts) expect(Buffer.byteLength(part.text)).toBeLessThanOrEqual(maxOutputTextBytes)
  expect(parts.map((part) => part.text).join('')).toBe(text)
})

test('many lines at once are cut at line ends', () => {
  const it = setup()
  const text = Array.from({ length: 5_000 }, (_, i) => `a line of output, number ${i}\n`).join('')
  const parts = it.push(text)
  expect(parts.length).toBeGreaterThan(2)
  for (const part of parts) expect(part.text.endsWith('\n')).toBe(true)
  expect(parts.map((part) => part.text).join('')).toBe(text)
})

test('two streams keep their own lines, and every cursor has the position of both', () => {
  const it = setup()
  it.push('out')
  expect(it.push('err\n', 'stderr')).toEqual([{ stream: 'stderr', text: 'err\n', cursor: { stdout: 0, stderr: 4 } }])
  expect(it.push('put\n')).toEqual([{ stream: 'stdout', text: 'output\n', cursor: { stdout: 7, stderr: 4 } }])
})

test('reading on from any cursor gives exactly the rest', () => {
  const bytes = Buffer.from('eins\nzwöi\ndrei ohne Ende')
  const first = setup()
  const all = [...first.push(bytes.subarray(0, 7)), ...first.flush(), ...first.push(bytes.subarray(7)), ...first.flush(true)]
  for (const [index, { cursor }] of all.entries()) {
    const again = setup(cursor)
    const rest = [...again.push(bytes.subarray(cursor.stdout)), ...again.flush(true)]
    const told = all
      .slice(0, index + 1)
      .map((part) => part.text)
      .join('')
    expect(told + rest.map((part) => part.text).join('')).toBe(bytes.toString())
  }
})

test('bytes that are received twice are emitted once', () => {
  const lines = new OutputLines(startCursor)
  lines.push({ stream: 'stdout', offset: 0, bytes: Buffer.from('ab\ncd') })
  const again = lines.push({ stream: 'stdout', offset: 3, bytes: Buffer.from('cdef\n') })
  expect(again.map(({ event }) => event.data.text)).toEqual(['cdef\n'])
})

test('the tail of an incomplete character is counted', () => {
  expect(
    [[0x61], [0xc3], [0xe2, 0x82], [0xf0, 0x9f, 0x98], [0xf0, 0x9f, 0x98, 0x80], [0xff], []].map((b) => incompleteTail(Buffer.from(b))),
  ).toEqual([0, 1, 2, 3, 0, 0, 0])
})

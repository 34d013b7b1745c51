// An event whose data is too large for one line is told in several events of its type, one after the other. Each says which it is (`part`, from 1)
// and of how many (`parts`). The first has all data, with the beginning of each long text; the others have, at the same path, how those texts go
// on, and `stream` and `tool_id` again. Data of very many small values becomes one text, `json`. Pure and exact: `joinData` gives back the data.

import type { EventData } from './event.ts'
import { maxDataBytes } from './limits.ts'
import { jsonTextBytes, jsonTextEnd, utf8Length } from './text.ts'

/** Every part says again whose it is. These are never continued. */
const inEveryPart = ['stream', 'tool_id'] as const
/** Shorter texts stay whole in the first part: cutting them would gain nothing. */
const shortestLongBytes = 512
/** Data comes from other programs, and its walk is a recursion. */
const maxDepth = 64
/** A part that has less room than this takes no text. */
const leastPieceBytes = 64
/** For `,"part":123,"parts":123`. */
const countBytes = 40

type Path = readonly (string | number)[]
interface LongText {
  readonly path: Path
  readonly text: string
}

const jsonBytes = (value: unknown): number => utf8Length(JSON.stringify(value))

export function fitsLine(data: EventData): boolean {
  const json = JSON.stringify(data)
  // A UTF-16 unit takes at most 3 bytes, so most data needs no counting.
  return json.length * 3 <= maxDataBytes || (json.length <= maxDataBytes && utf8Length(json) <= maxDataBytes)
}

/** The same object, alone, if it fits into one line. */
export function splitData(data: EventData): readonly EventData[] {
  if (fitsLine(data)) return [data]
  const long: LongText[] = []
  const first = withoutLong(data, [], long) as EventData
  const again = Object.fromEntries(inEveryPart.filter((name) => isShort(data[name])).map((name) => [name, data[name]]))
  const frames = long.map(({ path }) => jsonBytes(at(path, '')))
  // Too little of it is long texts, or they lie too deep, or the wrong one is long.
  const wrong = long.some(({ path }) => path.length === 1 && isSame(String(path[0])))
  if (wrong || jsonBytes(first) > maxDataBytes / 2 || Math.max(...frames) + jsonBytes(again) > maxDataBytes / 4) {
    return splitData({ ...again, json: JSON.stringify(data) })
  }
  const parts = [first]
  let room = maxDataBytes - countBytes - jsonBytes(first)
  long.forEach(({ path, text }, i) => {
    for (let from = 0; from < text.length;) {
      // The first part has a place for each text already; another part must make one.
      const spare = room - (parts.length === 1 ? 0 : frames[i]!)
      if (spare < leastPieceBytes) {
        parts.push({ ...again })
        room = maxDataBytes - countBytes - jsonBytes(again)
        continue
      }
      const to = jsonTextEnd(text, from, spare)
      const piece = text.slice(from, to)
      parts.push(merged(parts.pop(), at(path, piece)) as EventData)
      room = spare - jsonTextBytes(piece)
      from = to
    }
  })
  return parts.map((part, i) => ({ ...part, part: i + 1, parts: parts.length }))
}

/** The data that was split. `parts` are all of them, in their order; data that was not split is given back as it is. */
export function joinData(parts: readonly EventData[]): EventData {
  const [first = {}, ...rest] = parts
  const { part: _, parts: count, ...data } = first
  if (count === undefined) return first
  const whole = rest.reduce<EventData>((whole, next) => {
    const goesOn = Object.entries(next).filter(([name]) => name !== 'part' && name !== 'parts' && !(name in whole && isSame(name)))
    return merged(whole, Object.fromEntries(goesOn)) as EventData
  }, data)
  return typeof whole['json'] === 'string' ? (JSON.parse(whole['json']) as EventData) : whole
}

const isSame = (name: string): boolean => (inEveryPart as readonly string[]).includes(name)
const isShort = (value: unknown): value is string => typeof value === 'string' && jsonTextBytes(value) <= shortestLongBytes

/** A copy in which long texts are empty; they are added to `long`. What is nested deeper than the limit stays as it is. */
function withoutLong(value: unknown, path: Path, long: LongText[]): unknown {
  if (path.length > maxDepth) return value
  if (typeof value === 'string') {
    if (isShort(value)) return value
    long.push({ path, text: value })
    return ''
  }
  if (Array.isArray(value)) return value.map((item, i) => withoutLong(item, [...path, i], long))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, withoutLong(item, [...path, name], long)]))
}

/** A value that has only `leaf`, at that path. */
function at(path: Path, leaf: string): unknown {
  const [name, ...rest] = path
  if (name === undefined) return leaf
  if (typeof name === 'string') return { [name]: at(rest, leaf) }
  return [...Array.from({ length: name }, () => null), at(rest, leaf)]
}

/** Appends the texts of `more` to those of `value`, at the same path; null in a list of `more` stands for nothing. */
function merged(value: unknown, more: unknown): unknown {
  if (more === null || more === undefined) return value
  if (typeof value === 'string' && typeof more === 'string') return value + more
  if (Array.isArray(more)) {
    const list: readonly unknown[] = Array.isArray(value) ? value : []
    return Array.from({ length: Math.max(list.length, more.length) }, (_, i) => merged(list[i] ?? null, (more as unknown[])[i]))
  }
  if (typeof more !== 'object') return more
  const object = { ...(value as EventData | null) }
  for (const [name, item] of Object.entries(more)) object[name] = merged(object[name], item)
  return object
}

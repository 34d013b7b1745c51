import type { z } from 'zod'
import { maxFrameBytes } from './limits.ts'

export type Decoded<Frame> = { ok: true; frame: Frame } | { ok: false; reason: 'unknown_type' | 'malformed' | 'too_large' }

const unionTypes = new WeakMap<object, Set<string>>()

/** The `type` values of a discriminated union, cached. */
function typesOf(schema: z.ZodDiscriminatedUnion): Set<string> {
  let known = unionTypes.get(schema)
  if (!known) {
    known = new Set(schema.options.map((option) => String((option as z.ZodObject<{ type: z.ZodLiteral<string> }>).shape.type.value)))
    unionTypes.set(schema, known)
  }
  return known
}

/** Parses one text frame; never throws. Callers ignore frames of unknown types, and close the socket after malformed ones. */
export function decodeFrame<Schema extends z.ZodDiscriminatedUnion>(schema: Schema, data: unknown): Decoded<z.infer<Schema>> {
  if (typeof data !== 'string') return { ok: false, reason: 'malformed' }
  if (data.length > maxFrameBytes) return { ok: false, reason: 'too_large' }
  let value: unknown
  try {
    value = JSON.parse(data)
  } catch {
    return { ok: false, reason: 'malformed' }
  }
  const type = typeof value === 'object' && value !== null && 'type' in value ? value.type : undefined
  if (typeof type !== 'string') return { ok: false, reason: 'malformed' }
  if (!typesOf(schema).has(type)) return { ok: false, reason: 'unknown_type' }
  const parsed = schema.safeParse(value)
  return parsed.success ? { ok: true, frame: parsed.data } : { ok: false, reason: 'malformed' }
}

export const encodeFrame = (frame: object): string => JSON.stringify(frame)

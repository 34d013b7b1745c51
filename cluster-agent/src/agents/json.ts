// Reads other programs' JSON: no field is assumed to exist, and a field of a wrong type counts as absent.

export type Json = Readonly<Record<string, unknown>>

export const isJson = (value: unknown): value is Json => typeof value === 'object' && value !== null && !Array.isArray(value)
export const json = (value: unknown): Json => (isJson(value) ? value : {})
export const list = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : [])
export const objects = (value: unknown): readonly Json[] => list(value).filter(isJson)
export const text = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined)
export const number = (value: unknown): number | undefined => (typeof value === 'number' && Number.isFinite(value) ? value : undefined)
export const count = (value: unknown): number => Math.max(0, Math.round(number(value) ?? 0))

/** Undefined if the text is not JSON. */
export function parseValue(source: string): unknown {
  try {
    return JSON.parse(source)
  } catch {
    return undefined
  }
}

/** Undefined for anything but a JSON object. */
export function parseObject(source: string): Json | undefined {
  const value = parseValue(source)
  return isJson(value) ? value : undefined
}

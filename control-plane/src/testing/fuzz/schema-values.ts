// Values for a JSON Schema of the OpenAPI document, as arbitraries of fast-check. Only what the document uses is known; anything else throws, so
// that a schema of a new kind is not left out in silence.

import * as fc from 'fast-check'

export interface JsonSchema {
  readonly $ref?: string
  readonly type?: string
  readonly const?: unknown
  readonly enum?: readonly unknown[]
  readonly anyOf?: readonly JsonSchema[]
  readonly oneOf?: readonly JsonSchema[]
  readonly properties?: Readonly<Record<string, JsonSchema>>
  readonly required?: readonly string[]
  readonly additionalProperties?: boolean | JsonSchema
  readonly propertyNames?: JsonSchema
  readonly items?: JsonSchema
  readonly minItems?: number
  readonly maxItems?: number
  readonly pattern?: string
  readonly format?: string
  readonly minLength?: number
  readonly maxLength?: number
  readonly minimum?: number
  readonly maximum?: number
}

/** What a name stands for in the world of a run: `@session` becomes the id of a session. */
export const namedValues: Readonly<Record<string, readonly string[]>> = {
  project_id: ['demo', 'demo', 'other', 'trusted', 'nowhere'],
  session_id: ['@session', '@session', 'ses_01kamyp4e0c9q2t5w8z1x4v7r3'],
  cluster_id: ['home', 'away'],
  working_dir: ['.', 'src/deep'],
  run_after: ['2026-11-24T00:00:00.000Z', '2026-12-01T00:00:00+01:00'],
  permission_mode: ['default', 'acceptEdits'],
}

export class SchemaValues {
  readonly #schemas: Readonly<Record<string, JsonSchema>>
  readonly #known = new Map<JsonSchema, fc.Arbitrary<unknown>>()

  constructor(schemas: Readonly<Record<string, JsonSchema>>) {
    this.#schemas = schemas
  }

  of(schema: JsonSchema, name = ''): fc.Arbitrary<unknown> {
    const named = namedValues[name]
    const values = this.#known.get(schema) ?? this.#make(schema)
    this.#known.set(schema, values)
    return named === undefined ? values : fc.oneof({ arbitrary: fc.constantFrom(...named), weight: 9 }, { arbitrary: values, weight: 1 })
  }

  #make(schema: JsonSchema): fc.Arbitrary<unknown> {
    if (schema.$ref !== undefined) return this.of(this.#schemas[schema.$ref.slice('#/components/schemas/'.length)]!)
    const either = schema.anyOf ?? schema.oneOf
    if (either !== undefined) return fc.oneof(...either.map((one) => this.of(one)))
    if ('const' in schema) return fc.constant(schema.const)
    if (schema.enum !== undefined) return fc.constantFrom(...schema.enum)
    switch (schema.type) {
      case undefined:
        return fc.jsonValue({ maxDepth: 3 })
      case 'null':
        return fc.constant(null)
      case 'boolean':
        return fc.boolean()
      case 'integer':
        return fc.integer({ min: Math.max(schema.minimum ?? -1_000, -(2 ** 31)), max: Math.min(schema.maximum ?? 1_000, 2 ** 31 - 1) })
      case 'number':
        return fc.double({ min: schema.minimum ?? -1_000, max: schema.maximum ?? 1_000, noNaN: true })
      case 'string':
        return this.#text(schema)
      case 'array':
        return fc.array(this.of(schema.items ?? {}), { minLength: schema.minItems ?? 0, maxLength: Math.min(schema.maxItems ?? 5, 5) })
      case 'object':
        return this.#object(schema)
      default:
        throw new Error(`fuzz: a schema of an unknown kind: ${JSON.stringify(schema)}`)
    }
  }

  #text({ pattern, format, minLength = 0, maxLength = 40 }: JsonSchema): fc.Arbitrary<string> {
    if (format === 'date-time') {
      return fc.date({ min: new Date('2026-11-01'), max: new Date('2026-12-31'), noInvalidDate: true }).map((date) => date.toISOString())
    }
    if (pattern !== undefined) return fc.stringMatching(new RegExp(pattern))
    return fc.string({ minLength, maxLength: Math.max(minLength, Math.min(maxLength, 40)), unit: 'grapheme' })
  }

  #object({ properties = {}, required = [], additionalProperties, propertyNames }: JsonSchema): fc.Arbitrary<unknown> {
    const own = fc.record(Object.fromEntries(Object.entries(properties).map(([name, schema]) => [name, this.of(schema, name)])), {
      requiredKeys: [...required],
      noNullPrototype: true,
    })
    if (typeof additionalProperties !== 'object') return own
    const more = fc.dictionary(this.of(propertyNames ?? { type: 'string' }) as fc.Arbitrary<string>, this.of(additionalProperties), {
      maxKeys: 4,
      noNullPrototype: true,
    })
    return fc.tuple(own, more).map(([one, two]) => ({ ...two, ...one }))
  }
}

// An operation of the API as data. The control plane's routes, the OpenAPI document and its page, the authorisation suite, and clients are
// derived from it. A client that needs only types uses `import type`: ids, methods and paths are literal types, and the types of bodies,
// queries and answers follow from the schemas.

import type { z } from 'zod'
import type { Scope } from '../domain/api-key.ts'
import type { ErrorCode } from '../domain/errors.ts'

/** Sections of the reference, in their order. */
export const tags = {
  tasks: 'Queue work, follow it, stop it.',
  projects: 'Codebases and their pods.',
  sessions: 'Conversations that several tasks continue.',
  fleet: 'What tasks run in, and by which agents.',
  keys: 'API keys.',
  service: 'This service itself. No key needed.',
  connections: 'Where clusters dial in, by WebSocket. Of no use to other clients.',
} as const
export type Tag = keyof typeof tags

/**
 * How authorisation finds the project of a call.
 * - `path.id`, `body.project_id`, `body.project_ids`: the call names it. `body.tasks`: each item names its own, and is refused on its own.
 * - `task`, `session`, `key`: the project of that object. A key without that project gets NOT_FOUND, as for an object that does not exist.
 * - `caller`: no single project; the answer holds only objects of the caller's projects.
 * - `cluster`: the caller's key must speak for the cluster in the path, and acts for the cluster's projects.
 * - `service`: it concerns more than any list of projects bounds; only a key of every project may call it.
 * - `none`: nothing in the answer belongs to a project.
 */
export type ProjectRule =
  | 'path.id'
  | 'body.project_id'
  | 'body.project_ids'
  | 'body.tasks'
  | 'task'
  | 'session'
  | 'key'
  | 'caller'
  | 'cluster'
  | 'service'
  | 'none'

/** The name of a change in audit rows: object, dot, verb (`key.create`). Several operations can make the same change. */
export type AuditName = `${string}.${string}`

export interface Answer {
  readonly description: string
  /** By media type; an empty answer and an upgrade have none. */
  readonly content?: Readonly<Record<string, z.ZodType | { readonly schema: { readonly type: 'string' } }>>
  /** Descriptions by name. */
  readonly headers?: Readonly<Record<string, string>>
}

interface Common {
  /** Unique, a verb first, in camelCase; the `operationId` of the document. A published id never changes. */
  readonly id: string
  /** Parameters as `:name`. */
  readonly path: `/${string}`
  readonly summary: string
  readonly description?: string
  readonly tag: Tag
  /** The scope that the API key needs. `public`: no key is needed. `attempt`: no key is accepted, only the attempt's token. */
  readonly scope: Scope | 'public' | 'attempt'
  /** A stream ticket of the task, in the query parameter `ticket`, is accepted instead of a key. */
  readonly ticket?: true
  readonly project: ProjectRule
  /** A path parameter of the wrong shape names no object, so the answer is 404. */
  readonly params?: Readonly<Record<string, z.ZodType<string>>>
  readonly query?: z.ZodType
  readonly headers?: Readonly<Record<string, z.ZodType>>
  readonly body?: z.ZodType
  /** Bytes; left out: the control plane's usual limit. */
  readonly maxBodyBytes?: number
  /** The handler checks each item of the body on its own, also whether it can be stored. */
  readonly eachOnItsOwn?: true
  /** The operation creates something, so it takes an `Idempotency-Key`. */
  readonly idempotent?: true
  /** Successful answers by status; the first is the usual one. */
  readonly answers: Readonly<Record<number, Answer>>
  /** Error codes in addition to those that scope, parameters, query and body imply. */
  readonly problems?: readonly ErrorCode[]
}

/** A GET changes nothing and leaves no audit row; every other operation names its change. */
export type Operation = Common &
  ({ readonly method: 'GET'; readonly audit: null } | { readonly method: 'POST' | 'PUT' | 'PATCH' | 'DELETE'; readonly audit: AuditName })

/** Makes unknown field names a type error; a misspelt one would be ignored silently otherwise. */
type Unknown<Op> = { readonly [Name in Exclude<keyof Op, keyof Common | 'method' | 'audit'>]: never }

/** Checks an operation and keeps its literal types. */
export const defineOperation = <const Op extends Operation>(operation: Op & Unknown<Op>): Op => operation

/** The parsed query and body that a handler gets; `never` where there is none. */
export type QueryOf<Op> = Op extends { readonly query: infer Schema extends z.ZodType } ? z.output<Schema> : never
export type BodyOf<Op> = Op extends { readonly body: infer Schema extends z.ZodType } ? z.output<Schema> : never

/** An answer in JSON. */
export const json = <Schema extends z.ZodType>(description: string, schema: Schema, headers?: Answer['headers']) => ({
  description,
  content: { 'application/json': schema },
  ...(headers && { headers }),
})

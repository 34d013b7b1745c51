// An operation of the API as data. Everything that has to know the API is derived from it: the control plane's routes, the OpenAPI
// document and its page, the authorisation suite, and clients. A client that needs only types takes them by `import type`: ids, methods
// and paths are literal types, and bodies, queries and answers follow from the schemas.

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
 * - `path.id`, `body.project_id`, `body.project_ids`: the call names it. `body.tasks`: each item names its own, and is refused in its place.
 * - `task`, `session`, `key`: it is the project of that object; a key without that project gets the answer of an object that is not there.
 * - `caller`: of no single one; the answer holds what the caller's projects have, and nothing else.
 * - `cluster`: the caller's key must speak for the cluster in the path; the cluster's projects follow.
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
  | 'none'

/** The name of a change in audit rows: what it is done to, a dot, what is done. Several operations can make the same change. */
export type AuditName = `${string}.${string}`

export interface Answer {
  readonly description: string
  /** By media type; an empty answer and an upgrade have none. */
  readonly content?: Readonly<Record<string, z.ZodType | { readonly schema: { readonly type: 'string' } }>>
  /** Descriptions by name. */
  readonly headers?: Readonly<Record<string, string>>
}

interface Common {
  /** A verb in camelCase, unique; the `operationId` of the document. A published one never changes. */
  readonly id: string
  /** Parameters as `:name`. */
  readonly path: `/${string}`
  readonly summary: string
  readonly description?: string
  readonly tag: Tag
  /** What the API key must be allowed. `public`: no key is asked for. `attempt`: no key will do, only the token of that attempt. */
  readonly scope: Scope | 'public' | 'attempt'
  /** A stream ticket of the task in `ticket` does instead of a key. */
  readonly ticket?: true
  readonly project: ProjectRule
  /** A path parameter of the wrong shape names nothing, so it is a 404. */
  readonly params?: Readonly<Record<string, z.ZodType<string>>>
  readonly query?: z.ZodType
  readonly headers?: Readonly<Record<string, z.ZodType>>
  readonly body?: z.ZodType
  /** In bytes, where it is not the usual limit of the control plane. */
  readonly maxBodyBytes?: number
  /** The handler checks the items of the body, each on its own; also that they can be stored. */
  readonly eachOnItsOwn?: true
  /** Creates something: takes an `Idempotency-Key`. */
  readonly idempotent?: true
  /** Successful ones, by status; the first is the usual one. */
  readonly answers: Readonly<Record<number, Answer>>
  /** Problems beyond those that scope, parameters, query and body imply. */
  readonly problems?: readonly ErrorCode[]
}

/** What reads changes nothing and leaves no audit row; whatever else there is names its change. */
export type Operation = Common &
  ({ readonly method: 'GET'; readonly audit: null } | { readonly method: 'POST' | 'PUT' | 'PATCH' | 'DELETE'; readonly audit: AuditName })

/** Field names that no operation has; a misspelt one would be dropped in silence otherwise. */
type Unknown<Op> = { readonly [Name in Exclude<keyof Op, keyof Common | 'method' | 'audit'>]: never }

/** Checks an operation and keeps its literal types. */
export const defineOperation = <const Op extends Operation>(operation: Op & Unknown<Op>): Op => operation

/** What a handler gets: the parsed query and body; `never` where there is none. */
export type QueryOf<Op> = Op extends { readonly query: infer Schema extends z.ZodType } ? z.output<Schema> : never
export type BodyOf<Op> = Op extends { readonly body: infer Schema extends z.ZodType } ? z.output<Schema> : never

/** An answer in JSON. */
export const json = <Schema extends z.ZodType>(description: string, schema: Schema, headers?: Answer['headers']) => ({
  description,
  content: { 'application/json': schema },
  ...(headers && { headers }),
})

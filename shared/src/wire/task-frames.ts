// The socket of one attempt to its task's log: /v1/tasks/{id}/attempts/{n}/connect, opened with the attempt's token.
// The log sends the first frame (`resume`); the attempt then sends what the log lacks. `received` counts the attempt's own events that the log
// holds, so that a repeated or reordered batch does no harm.

import { z } from 'zod'
import { attemptEventsSchema, cursorSchema, isObject, outcomeSchema } from './parts.ts'

const count = z.int().min(0)

/** Agent → log. */
export const taskUpSchema = z.discriminatedUnion('type', [
  /** `after` is the attempt's own count before the first of `events`; `cursor` is where reading goes on after the last. */
  z.object({ type: z.literal('events'), after: count, cursor: cursorSchema, events: attemptEventsSchema(256) }),
  /** The process tree is gone and every event was sent; `after` is their number. Sent once per connection, until it is acknowledged. */
  z.object({ type: z.literal('result'), after: count, outcome: outcomeSchema }),
  /** Not stored and not numbered; lost if no reader wants them. */
  z.object({
    type: z.literal('deltas'),
    deltas: z.array(z.object({ type: z.literal('message.delta'), data: z.record(z.string(), z.unknown()) })).max(256),
  }),
])
export type TaskUp = z.infer<typeof taskUpSchema>

const cancelCommand = z.object({ type: z.literal('cancel'), grace_s: z.number().min(0) })
export const taskCommandSchema = z.discriminatedUnion('type', [cancelCommand])
export type TaskCommand = z.infer<typeof taskCommandSchema>

const commandTypes: ReadonlySet<unknown> = new Set(taskCommandSchema.options.map((option) => option.shape.type.value))
/** Commands of unknown types, from a newer log, are ignored, as frames of unknown types are. */
const knownCommands = (pending: unknown): unknown =>
  Array.isArray(pending)
    ? pending.filter((command: unknown) => !(isObject(command) && typeof command.type === 'string') || commandTypes.has(command.type))
    : pending

/** Log → agent. */
export const taskDownSchema = z.discriminatedUnion('type', [
  /** What the log holds, and every command that still applies. `result`: the log holds the result already. */
  z.object({
    type: z.literal('resume'),
    received: count,
    seq: count,
    cursor: cursorSchema,
    pending: z.preprocess(knownCommands, z.array(taskCommandSchema)),
    result: z.boolean(),
  }),
  /** Cumulative; sent only after the write. */
  z.object({ type: z.literal('ack'), received: count, seq: count, result: z.boolean() }),
  cancelCommand,
])
export type TaskDown = z.infer<typeof taskDownSchema>

// The socket of one attempt to its task's log: /v1/tasks/{id}/attempts/{n}/connect, opened with the attempt's token.
// The log speaks first (`resume`); the attempt then sends what follows. `received` counts the attempt's own events that the log
// holds; it is what makes a repeated or reordered batch harmless.

import { z } from 'zod'
import { attemptEventsSchema, cursorSchema, isObject, outcomeSchema } from './parts.ts'

const count = z.int().min(0)

/** Agent → log. */
export const taskUpSchema = z.discriminatedUnion('type', [
  /** `after` is the attempt's own count before the first of `events`; `cursor` is where reading goes on after the last. */
  z.object({ type: z.literal('events'), after: count, cursor: cursorSchema, events: attemptEventsSchema(256) }),
  /** The process tree is gone and every event was sent: `after` is their number. Sent once per connection, until acknowledged. */
  z.object({ type: z.literal('result'), after: count, outcome: outcomeSchema }),
  /** Not stored, not numbered, lost if nobody listens. */
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
/** A command of a newer log is passed over, as a frame of an unknown type is. */
const knownCommands = (pending: unknown): unknown =>
  Array.isArray(pending)
    ? pending.filter((command: unknown) => !(isObject(command) && typeof command.type === 'string') || commandTypes.has(command.type))
    : pending

/** Log → agent. */
export const taskDownSchema = z.discriminatedUnion('type', [
  /** Where the log stands, and every command that is still wanted. `result` says that the result is already held. */
  z.object({
    type: z.literal('resume'),
    received: count,
    seq: count,
    cursor: cursorSchema,
    pending: z.preprocess(knownCommands, z.array(taskCommandSchema)),
    result: z.boolean(),
  }),
  /** Cumulative, only after the write. */
  z.object({ type: z.literal('ack'), received: count, seq: count, result: z.boolean() }),
  cancelCommand,
])
export type TaskDown = z.infer<typeof taskDownSchema>

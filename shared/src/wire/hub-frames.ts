// The control socket of a cluster: /v1/clusters/{id}/connect.
// Level-triggered: `hello` lists everything that exists, `welcome` everything that should exist, and both may be repeated.

import { z } from 'zod'
import { maxInventoryParts, maxInventoryPods } from './limits.ts'
import {
  assignmentSchema,
  attemptRefSchema,
  maxResources,
  observedResourceSchema,
  podSchema,
  presenceSchema,
  rejectReasonSchema,
  resourceSchema,
  resourceVersionSchema,
  wallMsSchema,
} from './parts.ts'

/**
 * An inventory that one frame could not hold is told in several, one after the other; together they are one frame of its type. Nothing of it holds
 * before the last. Left out: this frame is all of it.
 */
const inParts = {
  part: z.int().min(1).max(maxInventoryParts).optional(),
  parts: z.int().min(1).max(maxInventoryParts).optional(),
}

/** Agent → hub. */
export const hubUpSchema = z.discriminatedUnion('type', [
  /** First frame of a connection, and the answer to `sync`. `instance` is random per agent process. */
  z.object({
    type: z.literal('hello'),
    protocol: z.int(),
    agent_version: z.string().max(64),
    instance: z.string().min(8).max(64),
    agent_time: z.int(),
    pods: z.array(podSchema).max(maxInventoryPods),
    attempts: z.array(presenceSchema).max(20_000),
    ...inParts,
  }),
  /** The attempt's directory exists and its process was started; also the answer to a repeated assignment. */
  z.object({ type: z.literal('accepted'), attempts: z.array(attemptRefSchema.extend({ started_at: wallMsSchema })).max(1000) }),
  /** The attempt was never started by this agent; `floor` and `already_ended` mean that it never will be. */
  z.object({
    type: z.literal('rejected'),
    attempts: z.array(attemptRefSchema.extend({ reason: rejectReasonSchema, detail: z.string().max(2000).optional() })).max(1000),
  }),
  /** The whole inventory, after a change of it. */
  z.object({ type: z.literal('pods'), pods: z.array(podSchema).max(maxInventoryPods), ...inParts }),
  /** Live attempts, in several heartbeats where they are many. */
  z.object({ type: z.literal('heartbeat'), agent_time: z.int(), attempts: z.array(attemptRefSchema).max(20_000) }),
  /** The result is in the task's log and the processes are gone: the slot is free. */
  z.object({ type: z.literal('finished'), attempts: z.array(attemptRefSchema).max(1000) }),
  /** The answer to `desired`, repeated after each change: everything that the agent found for that version. */
  z.object({ type: z.literal('observed'), version: resourceVersionSchema, resources: z.array(observedResourceSchema).max(maxResources) }),
  /** The agent is about to leave: assign nothing more. Running attempts go on, and the next agent adopts them. */
  z.object({ type: z.literal('drain') }),
])
export type HubUp = z.infer<typeof hubUpSchema>

/** Hub → agent. */
export const hubDownSchema = z.discriminatedUnion('type', [
  /** `adopt`: attempts that should run here. `stop`: attempts of `hello` that should not. */
  z.object({
    type: z.literal('welcome'),
    epoch: z.int(),
    server_time: z.int(),
    adopt: z.array(assignmentSchema),
    stop: z.array(attemptRefSchema),
  }),
  z.object({ type: z.literal('assign'), tasks: z.array(assignmentSchema) }),
  z.object({ type: z.literal('alive'), server_time: z.int() }),
  /** Asks the agent to send `hello` again: the hub has no memory, or saw a contradiction. */
  z.object({ type: z.literal('sync') }),
  /** Everything that the cluster should have, after every `welcome` and every change. Resources that it does not name should not exist. */
  z.object({ type: z.literal('desired'), version: resourceVersionSchema, resources: z.array(resourceSchema).max(maxResources) }),
])
export type HubDown = z.infer<typeof hubDownSchema>

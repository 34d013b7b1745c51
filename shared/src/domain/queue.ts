/**
 * Why the head of a lane is not running. The first reasons come from the rows. The last three come from the cluster's hub, for a head that
 * the rows do not block; `pool_not_allowed` comes from either, because only the hub knows whether a conversation is in a worker.
 */
export const queueReasons = [
  'due',
  'later',
  'max_running',
  'paused',
  'pool_not_allowed',
  'workspace',
  'session',
  'agent_away',
  'no_pod',
  'no_place',
] as const
export type QueueReason = (typeof queueReasons)[number]

/** How many lanes `GET /v1/queue` shows. */
export const maxQueueLanes = 100

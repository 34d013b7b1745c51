/**
 * Why the first task of a lane is not running: what the rows say, and, of one that nothing in them keeps waiting, what only the hub of
 * its cluster knows (the last three).
 */
export const queueReasons = ['due', 'later', 'max_running', 'paused', 'workspace', 'session', 'agent_away', 'no_pod', 'no_place'] as const
export type QueueReason = (typeof queueReasons)[number]

/** Lanes that one look at the queue shows. */
export const maxQueueLanes = 100
